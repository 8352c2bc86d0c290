//! The list of messages: filters, and pages that are followed by token.

use std::fmt::Write;

use domain::time::Timestamp;
use jiff::civil;

use super::message::Message;
use crate::sim::form::{Dates, push_json};

/// Twilio's page size unless another is asked for, and the largest.
const PAGE_SIZE: (usize, usize) = (50, 1000);

/// What a request asks to see.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    to: Option<String>,
    from: Option<String>,
    on: Option<Moment>,
    until: Option<Moment>,
    since: Option<Moment>,
    page_size: Option<usize>,
    page: usize,
    token: Option<String>,
    /// The query again, without what differs from page to page.
    kept: Vec<(String, String)>,
}

/// A date or a moment of a filter. A date stands for the whole day in GMT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    first: i64,
    last: i64,
}

/// A parameter can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl Filter {
    /// Reads a query. The parameters for the date are named `DateSent`, `DateSent<` and `DateSent>`, and the sign
    /// `=` that follows is not part of the name: `DateSent%3E=2026-08-01` filters, `DateSent%3E%3D=2026-08-01`
    /// is a parameter that Twilio does not know, and so does not mind.
    pub(crate) fn read(query: &str) -> Result<Self, Unreadable> {
        let mut filter = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "To" => filter.to = Some(value.clone().into_owned()),
                "From" => filter.from = Some(value.clone().into_owned()),
                "DateSent" => filter.on = Some(Moment::read(&value)?),
                "DateSent<" => filter.until = Some(Moment::read(&value)?),
                "DateSent>" => filter.since = Some(Moment::read(&value)?),
                "PageSize" => filter.page_size = Some(value.parse().or(Err(Unreadable))?),
                "Page" => filter.page = value.parse().or(Err(Unreadable))?,
                "PageToken" => filter.token = Some(value.strip_prefix("PA").ok_or(Unreadable)?.to_owned()),
                _ => {}
            }
            if name != "Page" && name != "PageToken" && name != "PageSize" {
                filter.kept.push((name.into_owned(), value.into_owned()));
            }
        }
        Ok(filter)
    }

    /// Whether a message is to be seen. One that was not sent yet has no date, so no filter by date finds it.
    pub(crate) fn keeps(&self, message: &Message) -> bool {
        let sent = message.sent.map(Timestamp::as_micros);
        let dated = |moment: Option<Moment>, holds: fn(Moment, i64) -> bool| {
            moment.is_none_or(|moment| sent.is_some_and(|sent| holds(moment, sent)))
        };
        self.to.as_ref().is_none_or(|to| *to == message.to)
            && self.from.as_ref().is_none_or(|from| message.from.as_ref() == Some(from))
            && dated(self.on, |moment, sent| moment.first <= sent && sent <= moment.last)
            && dated(self.until, |moment, sent| sent <= moment.last)
            && dated(self.since, |moment, sent| moment.first <= sent)
    }

    pub(crate) fn page_size(&self) -> usize {
        self.page_size.unwrap_or(PAGE_SIZE.0).clamp(1, PAGE_SIZE.1)
    }

    /// The only receiver to be seen.
    pub(crate) fn to(&self) -> Option<&str> {
        self.to.as_deref()
    }

    /// The SID of the last message of the page before.
    pub(crate) fn after(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// How many messages to skip where a page is asked for by its number alone.
    pub(crate) fn skip(&self) -> usize {
        if self.token.is_some() { 0 } else { self.page.saturating_mul(self.page_size()) }
    }

    /// The list as JSON. All URIs are relative.
    pub(crate) fn page_json(&self, account: &str, messages: &[Message], more: bool, dates: &Dates) -> String {
        let size = self.page_size();
        let start = self.page.saturating_mul(size);
        let end = start + messages.len().saturating_sub(1);
        let mut out = String::with_capacity(512 + messages.len() * 768);
        // Writing to a String does not fail.
        let _ = write!(out, "{{\"end\":{end},\"first_page_uri\":");
        push_json(&mut out, &self.uri(account, 0, None));
        out.push_str(",\"messages\":[");
        for (place, message) in messages.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            message.push_json(&mut out, account, dates);
        }
        out.push_str("],\"next_page_uri\":");
        match messages.last().filter(|_| more) {
            Some(last) => push_json(&mut out, &self.uri(account, self.page + 1, Some(&last.sid))),
            None => out.push_str("null"),
        }
        let _ = write!(out, ",\"page\":{},\"page_size\":{size},\"previous_page_uri\":", self.page);
        match self.page.checked_sub(1) {
            Some(previous) => push_json(&mut out, &self.uri(account, previous, None)),
            None => out.push_str("null"),
        }
        let _ = write!(out, ",\"start\":{start},\"uri\":");
        push_json(&mut out, &self.uri(account, self.page, self.after()));
        out.push('}');
        out
    }

    fn uri(&self, account: &str, page: usize, token: Option<&str>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.kept);
        query.append_pair("PageSize", &self.page_size().to_string());
        query.append_pair("Page", &page.to_string());
        if let Some(sid) = token {
            query.append_pair("PageToken", &format!("PA{sid}"));
        }
        format!("/2010-04-01/Accounts/{account}/Messages.json?{}", query.finish())
    }
}

impl Moment {
    /// Reads the forms that Twilio's documentation and libraries use: `2026-08-01`, `2026-08-01T00:00:00Z`,
    /// `2019-06-11 22:05:25.000` and RFC 2822.
    fn read(text: &str) -> Result<Self, Unreadable> {
        if let Ok(date) = text.parse::<civil::Date>()
            && text.len() == "2026-08-01".len()
        {
            let first = micros(date.at(0, 0, 0, 0))?;
            return Ok(Self { first, last: first + 86_400_000_000 - 1 });
        }
        let moment = text
            .parse::<jiff::Timestamp>()
            .map(jiff::Timestamp::as_microsecond)
            .or_else(|_| jiff::fmt::rfc2822::parse(text).map(|zoned| zoned.timestamp().as_microsecond()))
            .or_else(|_| text.parse::<civil::DateTime>().or(Err(Unreadable)).and_then(micros))?;
        Ok(Self { first: moment, last: moment })
    }
}

fn micros(time: civil::DateTime) -> Result<i64, Unreadable> {
    jiff::tz::Offset::UTC.to_timestamp(time).map(jiff::Timestamp::as_microsecond).or(Err(Unreadable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_every_form_of_the_documentation() {
        let midnight = 1_785_542_400_000_000;
        let day = Moment { first: midnight, last: midnight + 86_399_999_999 };
        assert_eq!(Moment::read("2026-08-01"), Ok(day));
        let moment = Moment { first: midnight, last: midnight };
        for text in ["2026-08-01T00:00:00Z", "2026-08-01 00:00:00.000", "Sat, 01 Aug 2026 00:00:00 +0000"] {
            assert_eq!(Moment::read(text), Ok(moment), "{text}");
        }
        assert_eq!(Moment::read("yesterday"), Err(Unreadable));
    }

    #[test]
    fn the_sign_of_comparison_is_part_of_the_name_and_the_equals_sign_is_not() {
        let read = |query: &str| Filter::read(query).unwrap();
        assert!(read("DateSent%3E=2026-08-01").since.is_some());
        assert!(read("DateSent>=2026-08-01").since.is_some());
        assert!(read("DateSent%3C=2026-08-01").until.is_some());
        let trapped = read("DateSent%3E%3D=2026-08-01");
        assert!(trapped.since.is_none() && trapped.on.is_none());
    }
}
