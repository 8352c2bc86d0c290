//! Named points at which a test kills the process, to prove that nothing is lost or sent twice there.
//!
//! `FAILPOINTS=after_intent=20*off->return` kills at the 21st intent. Only with the feature `fault-points`, which
//! no release has.

/// The points, in the order in which a message and its receipts pass them.
pub const FAULT_POINTS: &[&str] = &[
    "after_accept",
    "after_intent",
    "after_answer",
    "after_outcome",
    "before_receipt",
    "after_receipt",
    "before_settle",
    "after_settle",
];

/// Reads `FAILPOINTS`. The points are live for as long as what this returns.
#[cfg(feature = "fault-points")]
pub fn arm() -> impl Drop {
    fail::FailScenario::setup()
}

/// Sudden death, if this point is armed.
#[cfg(feature = "fault-points")]
pub(crate) fn fault_point(name: &str) {
    fail::fail_point!(name, |_| std::process::abort());
}

/// Nothing.
#[cfg(not(feature = "fault-points"))]
pub(crate) const fn fault_point(_name: &str) {}
