//! File descriptors: each connection needs one.
//!
//! Shells and service managers give a process 1,024 for the sake of programs that use `select`, and let it take many more.
//! Whoever runs out of them can't reach database and providers either, so a bound on connections that lies above them
//! bounds nothing.

use rustix::process::{Resource, getrlimit, setrlimit};

/// What the rest needs: connections to providers, to the database and to the broker, files.
const REST: u64 = 512;

/// Takes as many as this process may have, and tells if `max_connections` on both listeners are more than that.
pub(crate) fn take_all(max_connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(problem) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%problem, "the limit on file descriptors stays as it is");
        }
    }
    let needed = 2 * max_connections as u64 + REST;
    if let Some(may) = getrlimit(Resource::Nofile).current.filter(|may| *may < needed) {
        tracing::warn!(
            may,
            needed,
            "http.max_connections needs more file descriptors than this process may have: set it lower, or raise ulimit -n"
        );
    }
}
