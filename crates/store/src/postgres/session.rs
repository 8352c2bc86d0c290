//! A connection that may send what comes next before it has the answers to what came before.
//!
//! Each way to the server and back costs as much as some rows. Where a transaction does not need an answer to go on, it need not
//! wait for it: PostgreSQL takes many questions at once and answers them in their order ("Pipelining" in its manual, of the
//! extended query protocol). After a question that failed, the rest of a transaction
//! fails too; and where it could not even begin, nothing is written, for a session may write in transactions only that say so.

use std::borrow::Cow;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt as _;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{self, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Connection, Error, NoTls, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::errors::error;
use super::values::Value;
use crate::StoreError;

/// How long a connection may take to end, which only tells the server so.
const GOODBYE: Duration = Duration::from_secs(1);

/// What a statement answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    /// How many rows it changed.
    pub(super) changed: usize,
}

type Answering = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;

/// A question that was sent.
struct Asked {
    /// The text, if its answer is for later.
    early: Option<&'static str>,
    answering: Answering,
}

/// A connection. One thread at a time sends, and waits for the answers.
pub(super) struct Session {
    /// What was sent and is not answered yet, in order.
    asked: Vec<Asked>,
    /// Answers that came before they were looked for.
    early: Vec<(&'static str, Answer)>,
    client: Arc<Client>,
    /// Behind the client, whose end it waits for.
    line: Line,
}

/// The way to the server, on which something moves while somebody waits.
struct Line {
    runtime: Runtime,
    /// `None` once its end was told.
    connection: Option<JoinHandle<Result<(), Error>>>,
}

impl Session {
    /// Connects; by TLS if there are settings for it.
    pub(super) fn connect(config: &Config, tls: Option<ClientConfig>) -> Result<Self, StoreError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| StoreError::Io(error.to_string()))?;
        let (client, connection) = match tls {
            None => {
                let (client, connection) = runtime.block_on(config.connect(NoTls)).map_err(error)?;
                (client, runtime.spawn(serve(connection)))
            }
            Some(tls) => {
                let connecting = config.connect(MakeRustlsConnect::new(tls));
                let (client, connection) = runtime.block_on(connecting).map_err(error)?;
                (client, runtime.spawn(serve(connection)))
            }
        };
        let (client, line) = (Arc::new(client), Line { runtime, connection: Some(connection) });
        Ok(Self { asked: Vec::new(), early: Vec::new(), client, line })
    }

    /// Sends commands that answer nothing.
    pub(super) fn send(&mut self, commands: impl Into<Cow<'static, str>>) -> Result<(), StoreError> {
        let (client, commands) = (Arc::clone(&self.client), commands.into());
        let answering = async move { client.batch_execute(&commands).await.map(|()| Answer::default()) };
        self.push(None, Box::pin(answering))
    }

    /// Sends a statement.
    pub(super) fn ask(&mut self, statement: &Statement, values: &[Value]) -> Result<(), StoreError> {
        let answering = answer(Arc::clone(&self.client), statement.clone(), values.to_vec());
        self.push(None, Box::pin(answering))
    }

    /// Sends a statement whose answer is for later: it will be looked for by this text.
    pub(super) fn ask_early(
        &mut self,
        text: &'static str,
        statement: &Statement,
        values: &[Value],
    ) -> Result<(), StoreError> {
        let answering = answer(Arc::clone(&self.client), statement.clone(), values.to_vec());
        self.push(Some(text), Box::pin(answering))
    }

    /// It is sent when it is looked at for the first time. What can't be sent fails here: the server knows nothing of it, and would
    /// commit the rest.
    fn push(&mut self, early: Option<&'static str>, mut answering: Answering) -> Result<(), StoreError> {
        match answering.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(failed)) => return Err(self.fail(failed)),
            // Nobody has waited, so nothing has come back.
            Poll::Ready(Ok(_)) => {}
            Poll::Pending => self.asked.push(Asked { early, answering }),
        }
        Ok(())
    }

    /// What an error means. Of a connection that has ended, its own error says more, once.
    fn fail(&mut self, failed: Error) -> StoreError {
        if failed.is_closed()
            && let Some(connection) = self.line.connection.take_if(|connection| connection.is_finished())
            && let Ok(Err(ended)) = self.line.runtime.block_on(connection)
        {
            return error(ended);
        }
        error(failed)
    }

    /// Sends what was asked, for the server to begin with it while this side does something else.
    pub(super) fn flush(&self) {
        self.line.runtime.block_on(tokio::task::yield_now());
    }

    /// Waits for all that was sent; answers the last of it. If something failed, that is the first that did.
    pub(super) fn wait(&mut self) -> Result<Answer, StoreError> {
        let asked = std::mem::take(&mut self.asked);
        let early = &mut self.early;
        let all = async {
            let mut last = Answer::default();
            for Asked { early: text, answering } in asked {
                let answer = answering.await?;
                match text {
                    Some(text) => early.push((text, answer)),
                    None => last = answer,
                }
            }
            Ok(last)
        };
        let answered: Result<Answer, Error> = self.line.runtime.block_on(all);
        answered.map_err(|failed| self.fail(failed))
    }

    /// The answer to what was asked early by this text, if it was.
    pub(super) fn take_early(&mut self, text: &'static str) -> Result<Option<Answer>, StoreError> {
        if self.asked.iter().any(|asked| asked.early == Some(text)) {
            self.wait()?;
        }
        let at = self.early.iter().position(|(early, _)| *early == text);
        Ok(at.map(|at| self.early.swap_remove(at).1))
    }

    /// Forgets what was asked and not looked at.
    pub(super) fn forget(&mut self) {
        self.asked.clear();
        self.early.clear();
    }

    /// Prepares a statement.
    pub(super) fn prepare(&mut self, sql: &str) -> Result<Statement, StoreError> {
        // What failed before this is what failed.
        self.wait()?;
        self.line.runtime.block_on(self.client.prepare(sql)).map_err(|failed| self.fail(failed))
    }

    /// Asks the server whether it is there.
    pub(super) fn is_good(&mut self, within: Duration) -> bool {
        let asking = async { tokio::time::timeout(within, self.client.check_connection()).await };
        matches!(self.line.runtime.block_on(asking), Ok(Ok(())))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

impl Drop for Line {
    /// Waits until the server is told. Must not happen on a thread of a runtime.
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let ending = async { tokio::time::timeout(GOODBYE, connection).await };
            // Where it does not hear it, it sees that the connection is gone.
            let _ = self.runtime.block_on(ending);
        }
    }
}

async fn answer(client: Arc<Client>, statement: Statement, values: Vec<Value>) -> Result<Answer, Error> {
    let mut stream = pin!(client.query_raw(&statement, values).await?);
    let mut rows = Vec::new();
    while let Some(row) = stream.next().await {
        rows.push(row?);
    }
    let changed = stream.rows_affected().unwrap_or(0);
    Ok(Answer { rows, changed: usize::try_from(changed).unwrap_or(usize::MAX) })
}

/// Keeps a connection going, to its end.
async fn serve<S, T>(connection: Connection<S, T>) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    connection.await
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    const ADD: &str = "INSERT INTO numbers VALUES ($1)";
    const COUNT: &str = "SELECT count(*) FROM numbers";

    /// A connection with a table of its own, which nobody else sees.
    #[expect(clippy::disallowed_methods, reason = "a test's own environment")]
    fn session() -> Session {
        let Ok(server) = std::env::var("TUMA_TEST_POSTGRES") else {
            panic!("run `cargo xtask test`, which starts a PostgreSQL server for the tests");
        };
        let config = Config::from_str(&format!("{server}/postgres")).unwrap();
        let mut session = Session::connect(&config, None).unwrap();
        session.send("CREATE TEMPORARY TABLE numbers (number BIGINT PRIMARY KEY)").unwrap();
        session.wait().unwrap();
        session
    }

    fn count(answer: &Answer) -> i64 {
        answer.rows[0].get(0)
    }

    #[test]
    fn questions_are_answered_in_their_order_and_early_ones_when_they_are_looked_for() {
        let mut session = session();
        let (add, counted) = (session.prepare(ADD).unwrap(), session.prepare(COUNT).unwrap());
        session.send("BEGIN").unwrap();
        session.ask(&add, &[Value::Integer(1)]).unwrap();
        session.ask_early(COUNT, &counted, &[]).unwrap();
        session.ask(&add, &[Value::Integer(2)]).unwrap();
        session.flush();
        session.ask(&counted, &[]).unwrap();
        assert_eq!(count(&session.wait().unwrap()), 2);
        assert_eq!(session.take_early(COUNT).unwrap().map(|answer| count(&answer)), Some(1));
        assert!(session.take_early(COUNT).unwrap().is_none());
        session.send("COMMIT").unwrap();
        session.wait().unwrap();
    }

    #[test]
    fn what_failed_first_is_told_at_the_commit_which_then_keeps_nothing() {
        let mut session = session();
        let (add, counted) = (session.prepare(ADD).unwrap(), session.prepare(COUNT).unwrap());
        session.send("BEGIN").unwrap();
        for number in [1, 1, 2] {
            session.ask(&add, &[Value::Integer(number)]).unwrap();
        }
        session.send("COMMIT").unwrap();
        let StoreError::Internal(told) = session.wait().unwrap_err() else { panic!("another error") };
        // Not that the transaction is aborted, which all that came behind was told.
        assert!(told.contains("23505"), "{told}");
        session.ask(&counted, &[]).unwrap();
        assert_eq!(count(&session.wait().unwrap()), 0);
    }

    #[test]
    fn connection_that_was_ended_says_why_and_then_that_it_is_closed() {
        let (mut session, mut other) = (session(), session());
        let own = session.prepare("SELECT pg_backend_pid()::int8").unwrap();
        session.ask(&own, &[]).unwrap();
        let id: i64 = session.wait().unwrap().rows[0].get(0);
        let end = other.prepare("SELECT pg_terminate_backend($1::int8::int4)").unwrap();
        other.ask(&end, &[Value::Integer(id)]).unwrap();
        other.wait().unwrap();
        let asked = |session: &mut Session| session.ask(&own, &[]).and_then(|()| session.wait().map(|_| ()));
        let [first, second] = [(); 2].map(|()| asked(&mut session).unwrap_err());
        let StoreError::Unavailable(told) = first else { panic!("another error") };
        assert!(told.contains("57P01"), "{told}");
        assert!(matches!(second, StoreError::Unavailable(_)));
        assert!(session.is_closed());
    }
}
