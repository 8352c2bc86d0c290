//! The parameters of lists, and their pages.

use std::fmt::Display;
use std::str::FromStr;

use domain::phone::{Country, Msisdn};

use crate::http::extract::is_field_name;
use crate::http::problem::{FieldProblem, Problem};

/// On a page unless asked otherwise.
pub(super) const DEFAULT_LIMIT: u32 = 50;
/// On a page at most.
const MAX_LIMIT: u32 = 200;

/// What is wrong with a parameter: its code, and in words.
pub(super) type Mistake = (&'static str, String);

/// Hands each parameter to `take`, by name and value, and names every wrong one.
pub(super) fn read(
    query: Option<&str>,
    mut take: impl FnMut(&str, &str) -> Result<(), Mistake>,
) -> Result<(), Problem> {
    let mut errors = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if let Err((code, detail)) = take(&name, &value) {
            // An unknown name may be a number that got into the wrong place.
            let pointer = if is_field_name(&name) { name.into_owned() } else { String::new() };
            errors.push(FieldProblem { pointer, code, detail });
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Problem::of_fields(errors)) }
}

/// A parameter of another address.
pub(super) fn unknown() -> Result<(), Mistake> {
    Err(("unknown_parameter", "is no parameter of this address".into()))
}

/// A word, a time or an id. `code` is for one that is none.
pub(super) fn value<T>(text: &str, into: &mut Option<T>, code: &'static str) -> Result<(), Mistake>
where
    T: FromStr<Err: Display>,
{
    *into = Some(text.parse().map_err(|problem: T::Err| (code, problem.to_string()))?);
    Ok(())
}

/// A phone number.
pub(super) fn number(text: &str, region: Country, into: &mut Option<Msisdn>) -> Result<(), Mistake> {
    let number = Msisdn::parse(text, region);
    *into = Some(number.map_err(|problem| ("invalid_receiver", problem.to_string()))?);
    Ok(())
}

/// How many there are on a page.
pub(super) fn limit(text: &str, into: &mut u32) -> Result<(), Mistake> {
    let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    *into = limit.ok_or_else(|| ("wrong_type", format!("must be a number from 1 to {MAX_LIMIT}")))?;
    Ok(())
}

/// A page of what was found when one more than `limit` was asked for, and where the next page begins if there is one.
pub(super) fn page<T>(
    mut found: Vec<T>,
    limit: u32,
    cursor: impl FnOnce(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(cursor);
    (found, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_parameter_is_named_and_a_number_in_the_wrong_place_is_not_repeated() {
        let mut size = DEFAULT_LIMIT;
        let take = |name: &str, text: &str| match name {
            "limit" => limit(text, &mut size),
            _ => unknown(),
        };
        assert_eq!(
            read(Some("limit=201&color=red&%2B254712345678=1"), take).unwrap_err().pointers(),
            ["limit", "color", ""]
        );
    }

    #[test]
    fn a_page_ends_where_the_next_one_begins() {
        assert_eq!(page(vec![3, 2, 1], 2, i32::to_string), (vec![3, 2], Some("2".into())));
        assert_eq!(page(vec![3, 2], 2, i32::to_string), (vec![3, 2], None));
    }
}
