//! Settings: a file, and variables of the environment over it.
//!
//! The file comes first; behind a line `--- environment ---` each line is a variable.

use std::io::Write as _;

use server::config::{Config, default_settings};
use tempfile::NamedTempFile;

const ENVIRONMENT: &str = "--- environment ---\n";

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (file, environment) = text.split_once(ENVIRONMENT).unwrap_or((text, ""));
    let variables = environment.lines().filter_map(|line| line.split_once('='));
    // A variable that names a file would have it read, whichever that is.
    let variables = variables.filter(|(name, _)| !name.ends_with("_FILE"));
    let variables: Vec<_> = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut kept = NamedTempFile::new().unwrap();
    kept.write_all(file.as_bytes()).unwrap();
    let load = || Config::load(Some(kept.path()), variables.iter().cloned());
    match load() {
        Ok(config) => {
            assert!(config.validate().is_ok(), "what was loaded is not valid");
            assert_eq!(format!("{config:?}"), format!("{:?}", load().unwrap()));
            drop(config.gateway());
            assert!(config.factory().is_ok(), "what was loaded makes no providers");
        }
        Err(problem) => {
            let said = problem.to_string();
            for (name, value) in &variables {
                let is_secret = value.len() >= 8 && value.bytes().all(|byte| byte.is_ascii_digit());
                let is_name =
                    file.contains(value) || name.contains(value) || default_settings().contains(value);
                assert!(!is_secret || is_name || !said.contains(value), "a value is repeated: {said}");
            }
        }
    }
}
