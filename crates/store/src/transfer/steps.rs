//! Telling how far a move has come, and hearing whether it shall stop.

use std::ops::ControlFlow;

use super::TransferError;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The source is read and hashed.
    Reading,
    /// Rows are copied.
    Copying,
    /// The target is made ready to be used, table by table.
    Settling,
    /// The target is read and hashed.
    Comparing,
}

/// How much is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows that are done, those of earlier runs among them.
    pub done: u64,
    /// All rows.
    pub of: u64,
}

/// How far a move has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// To which table.
    pub table: &'static str,
    /// The rows of this table.
    pub rows: Tally,
    /// The rows of all tables, in this stage.
    pub all: Tally,
}

type Watch = Box<dyn FnMut(Progress) -> ControlFlow<()> + Send>;

/// Where the move is, and who watches it.
pub(super) struct Steps {
    watch: Watch,
    at: Progress,
}

impl Steps {
    pub(super) fn new(watch: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static) -> Self {
        let at = Progress { stage: Stage::Reading, table: "", rows: Tally::default(), all: Tally::default() };
        Self { watch: Box::new(watch), at }
    }

    /// A stage begins, of which some may be done.
    pub(super) fn begin(&mut self, stage: Stage, done: u64, of: u64) {
        self.at = Progress { stage, table: "", rows: Tally::default(), all: Tally { done, of } };
    }

    /// The next table, of which some may be done.
    pub(super) fn table(&mut self, table: &'static str, done: u64, of: u64) -> Result<(), TransferError> {
        self.at = Progress { table, rows: Tally { done, of }, ..self.at };
        self.tell()
    }

    /// So many more rows are done.
    pub(super) fn pass(&mut self, rows: u64) -> Result<(), TransferError> {
        self.at.rows.done += rows;
        self.at.all.done += rows;
        self.tell()
    }

    fn tell(&mut self) -> Result<(), TransferError> {
        match (self.watch)(self.at) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(TransferError::Stopped),
        }
    }
}
