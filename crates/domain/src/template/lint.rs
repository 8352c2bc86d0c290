//! What is wrong with a template, and what its texts take at most: found when it is written, not when it is sent.

use std::collections::{BTreeMap, BTreeSet};

use super::amount::{Amount, Currency};
use super::definition::{Definition, Variable};
use super::filter;
use super::locale::Locale;
use super::text::{self, Piece, Place};
use super::value::shown;
use super::variable::{attaches, check_clusters};
use super::{is_name, worst};
use crate::encoding::{self, Encoding, MAX_SEGMENTS, Segmentation};
use crate::phone::Country;
use crate::scenario::closed_set;

/// Characters of a text that is still one.
const LONGEST_TEXT: usize = 2_000;
/// Characters that a text variable may have: those of the longest message.
const LONGEST_VALUE: usize = 1_600;
/// Digits of a code.
const CODE: std::ops::RangeInclusive<usize> = 4..=10;
/// Beyond this no number of JSON is exact everywhere.
const LARGEST_NUMBER: i64 = 9_007_199_254_740_991;
/// Variables, locales, and variants of each that a template may have.
const MOST_VARIABLES: usize = 32;
const MOST_LOCALES: usize = 32;
const MOST_VARIANTS: usize = 16;
const LARGEST_WEIGHT: u32 = 10_000;

closed_set! {
    /// How bad a finding is.
    Severity ("severity") {
        /// The template can't be used.
        Error => "error",
        /// It can be used, and somebody should look.
        Warning => "warning",
    }
}

/// Something that the linter found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where: a JSON pointer into the definition.
    pub pointer: String,
    /// Where in the text at that place.
    pub place: Option<Place>,
    /// The character that it is about.
    pub character: Option<char>,
    /// What it is, in a sentence.
    pub message: String,
}

/// What a text takes at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorstCase {
    /// Its language.
    pub locale: Locale,
    /// Which of the texts of that language, counted from 0.
    pub variant: usize,
    /// The encoding, units and segments that no rendering goes beyond.
    pub most: Segmentation,
}

/// What the linter found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Mistakes and doubts, by place.
    pub findings: Vec<Finding>,
    /// The worst case of every text that could be read.
    pub worst: Vec<WorstCase>,
}

impl Report {
    /// Whether the template can't be used.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    fn find(&mut self, severity: Severity, pointer: &str, message: impl Into<String>) {
        let message = message.into();
        self.findings.push(Finding {
            severity,
            pointer: pointer.into(),
            place: None,
            character: None,
            message,
        });
    }

    fn error(&mut self, pointer: &str, message: impl Into<String>) {
        self.find(Severity::Error, pointer, message);
    }

    fn warn(&mut self, pointer: &str, message: impl Into<String>) {
        self.find(Severity::Warning, pointer, message);
    }

    fn error_at(&mut self, pointer: &str, place: Place, message: impl Into<String>) {
        self.find(Severity::Error, pointer, message);
        if let Some(finding) = self.findings.last_mut() {
            finding.place = Some(place);
        }
    }

    fn about(&mut self, character: char) {
        if let Some(finding) = self.findings.last_mut() {
            finding.character = Some(character);
        }
    }
}

/// A text that could be read.
pub(super) struct ReadText {
    pub(super) weight: u32,
    pub(super) pieces: Vec<Piece>,
}

/// Reads all texts of a definition, and says all that is wrong with it.
pub(super) fn lint(definition: &Definition) -> (BTreeMap<Locale, Vec<ReadText>>, Report) {
    let mut report = Report::default();
    check_definition(definition, &mut report);
    for (name, variable) in &definition.variables {
        check_variable(name, variable, &mut report);
    }
    let mut used = BTreeSet::new();
    let mut read = BTreeMap::new();
    for (locale, texts) in &definition.locales {
        let mut variants = Vec::new();
        for (index, (weight, source)) in texts.variants().into_iter().enumerate() {
            let pointer = format!("/locales/{locale}{}", texts.pointer(index));
            let mut linter =
                TextLinter { definition, pointer: &pointer, report: &mut report, used: &mut used };
            let Some(pieces) = linter.lint(source) else { continue };
            let most = linter.promise(&pieces);
            report.worst.push(WorstCase { locale: locale.clone(), variant: index, most });
            variants.push(ReadText { weight, pieces });
        }
        read.insert(locale.clone(), variants);
    }
    for name in definition.variables.keys().filter(|name| !used.contains(*name)) {
        report.warn(&format!("/variables/{name}"), "no text uses it");
    }
    (read, report)
}

fn check_definition(definition: &Definition, report: &mut Report) {
    let Definition { default_locale, max_segments, variables, locales, .. } = definition;
    if !locales.contains_key(default_locale) {
        report.error("/locales", format!("has no text in {default_locale}, the default locale"));
    }
    if max_segments.is_some_and(|most| !(1..=MAX_SEGMENTS).contains(&most)) {
        report.error("/max_segments", format!("must be from 1 to {MAX_SEGMENTS}"));
    }
    if variables.len() > MOST_VARIABLES {
        report.error("/variables", format!("may have {MOST_VARIABLES} entries"));
    }
    if locales.len() > MOST_LOCALES {
        report.error("/locales", format!("may have {MOST_LOCALES} entries"));
    }
    for (locale, texts) in locales {
        let variants = texts.variants();
        if !(1..=MOST_VARIANTS).contains(&variants.len()) {
            report.error(&format!("/locales/{locale}"), format!("must have 1 to {MOST_VARIANTS} variants"));
        }
        for (index, (weight, _)) in variants.iter().enumerate() {
            if !(1..=LARGEST_WEIGHT).contains(weight) {
                let pointer = format!("/locales/{locale}/{index}/weight");
                report.error(&pointer, format!("must be from 1 to {LARGEST_WEIGHT}"));
            }
        }
    }
}

fn check_variable(name: &str, variable: &Variable, report: &mut Report) {
    if !is_name(name) {
        report.error("/variables", "a name has small letters, digits and underscores, a letter first");
        return;
    }
    let pointer = format!("/variables/{name}");
    let at = |field: &str| format!("{pointer}/{field}");
    let numbers = -LARGEST_NUMBER..=LARGEST_NUMBER;
    match variable {
        Variable::Text { max_length, .. } if !(1..=LONGEST_VALUE).contains(max_length) => {
            report.error(&at("max_length"), format!("must be from 1 to {LONGEST_VALUE}"));
        }
        Variable::Text { min_length, max_length, .. } if min_length > max_length => {
            report.error(&at("min_length"), "must be at most max_length");
        }
        Variable::Integer { min, max, .. }
            if min > max || !numbers.contains(min) || !numbers.contains(max) =>
        {
            report.error(&at("max"), format!("must be from min to {LARGEST_NUMBER}"));
        }
        Variable::Amount { min, max, currency, .. } => {
            let bound = Amount::whole(LARGEST_NUMBER);
            if min > max || Some(*max) > bound || Some(*min) < Amount::whole(-LARGEST_NUMBER) {
                report.error(&at("max"), format!("must be from min to {LARGEST_NUMBER}"));
            }
            if *currency == Currency::Sats && !(min.is_whole() && max.is_whole()) {
                report.error(&at("max"), "satoshis are whole");
            }
        }
        Variable::Code { length, min_length } => {
            let least = min_length.unwrap_or(*length);
            if !CODE.contains(length) || !CODE.contains(&least) || least > *length {
                report.error(&at("length"), "must be from 4 to 10, and not below min_length");
            }
        }
        Variable::Choice { values, .. } => check_choice(&pointer, values, report),
        Variable::Text { .. } | Variable::Integer { .. } | Variable::Phone {} => {}
    }
    // As a request's value, wherever numbers in national form belong: no default is a number.
    if let Some(default) = variable.default_value()
        && let Err(problem) = variable.read(Some(&default), Country::ZZ)
    {
        report.error(&at("default"), problem.to_string());
    }
}

fn check_choice(pointer: &str, values: &[String], report: &mut Report) {
    if !(1..=MOST_VARIABLES).contains(&values.len()) {
        report.error(&format!("{pointer}/values"), format!("must have 1 to {MOST_VARIABLES} entries"));
    }
    for (index, value) in values.iter().enumerate() {
        let place = format!("{pointer}/values/{index}");
        let value = encoding::to_nfc(value);
        if value.chars().count() > LONGEST_VALUE || value.chars().any(char::is_control) {
            report.error(&place, format!("must have up to {LONGEST_VALUE} characters that can be seen"));
        } else if let Err(problem) = check_clusters(&value) {
            report.error(&place, problem.to_string());
        }
    }
}

/// Looks at one text.
struct TextLinter<'a> {
    definition: &'a Definition,
    pointer: &'a str,
    report: &'a mut Report,
    used: &'a mut BTreeSet<String>,
}

impl TextLinter<'_> {
    fn lint(&mut self, source: &str) -> Option<Vec<Piece>> {
        let source = encoding::to_nfc(source);
        let length = source.chars().count();
        if source.trim().is_empty() || length > LONGEST_TEXT {
            self.report.error(self.pointer, format!("must have 1 to {LONGEST_TEXT} characters"));
            return None;
        }
        let mut pieces = match text::read(&source) {
            Ok(pieces) => pieces,
            Err(mistake) => {
                self.report.error_at(self.pointer, mistake.place, mistake.what);
                return None;
            }
        };
        let mut is_behind = false;
        for piece in &mut pieces {
            match piece {
                Piece::Literal { text, at } => {
                    self.literal(&source, text, *at, is_behind);
                }
                Piece::Variable { name, filters, place } => {
                    self.variable(name, filters, *place);
                }
            }
            is_behind = true;
        }
        Some(pieces)
    }

    fn variable(&mut self, name: &str, filters: &[filter::Filter], place: Place) {
        let Some(variable) = self.definition.variables.get(name) else {
            let message = format!("{name} is not among the variables");
            self.report.error_at(self.pointer, place, message);
            return;
        };
        self.used.insert(name.to_owned());
        if let Some(filter) = filter::misplaced(variable, filters) {
            let message = format!("the filter {filter} does not fit {name} there");
            self.report.error_at(self.pointer, place, message);
        }
    }

    /// Names what leaves GSM-7, and writes it plain where the definition says so.
    fn literal(&mut self, source: &str, text: &mut String, at: usize, is_behind: bool) {
        if let Some(hidden) = text.chars().position(|it| it.is_control() && it != '\n' && it != '\r') {
            let place = Place::of_character(source, at + hidden);
            self.report.error_at(self.pointer, place, "has a control character");
        }
        let plain = encoding::transliterate(text).into_owned();
        if is_behind && [text.as_str(), &plain].iter().any(|text| text.chars().next().is_some_and(attaches)) {
            let place = Place::of_character(source, at);
            self.report.error_at(self.pointer, place, "a mark stands here with no letter before it");
        }
        let promised = self.definition.encoding == Encoding::Gsm7;
        if promised {
            for (position, character) in encoding::offenders(text) {
                let written = encoding::transliterate(character.encode_utf8(&mut [0; 4])).into_owned();
                let has_plain_form = encoding::offenders(&written).next().is_none();
                if self.definition.transliterate && has_plain_form {
                    continue;
                }
                let advice = if has_plain_form {
                    format!("; with transliterate it is written as {written:?}")
                } else {
                    String::new()
                };
                let place = Place::of_character(source, at + position);
                let message = format!("{} is not in GSM-7{advice}", shown(character));
                self.report.error_at(self.pointer, place, message);
                self.report.about(character);
            }
        }
        if self.definition.transliterate {
            *text = plain;
            // In an address each character stays.
            if promised
                && !self.report.has_errors()
                && let Some((_, character)) = encoding::offenders(text).next()
            {
                let message =
                    format!("{} is not in GSM-7, and stays as it is in an address", shown(character));
                self.report.error_at(self.pointer, Place::of_character(source, at), message);
                self.report.about(character);
            }
        }
    }

    /// Whether the promises hold in the worst case.
    fn promise(&mut self, pieces: &[Piece]) -> Segmentation {
        let variables = &self.definition.variables;
        let sized = worst::sized(pieces, |name, filters| Some(variables.get(name)?.extent(filters)));
        let most = worst::worst(&sized);
        if self.definition.encoding == Encoding::Gsm7 {
            for piece in pieces {
                if let Piece::Variable { name, filters, place } = piece
                    && let Some(variable) = variables.get(name)
                    && variable.extent(filters).leaves
                {
                    self.leaving(name, variable, *place);
                }
            }
        }
        let allowed = self.definition.max_segments.unwrap_or(MAX_SEGMENTS);
        if most.segments > allowed {
            let Segmentation { encoding, units, segments } = most;
            let message = format!(
                "takes up to {segments} segments ({units} units of {encoding}), {allowed} are allowed"
            );
            self.report.error(self.pointer, message);
        }
        most
    }

    /// A variable whose values may leave GSM-7.
    fn leaving(&mut self, name: &str, variable: &Variable, place: Place) {
        let Variable::Choice { values, .. } = variable else {
            let message = format!("{name} may hold characters that are not in GSM-7: its alphabet is any");
            self.report.error_at(self.pointer, place, message);
            return;
        };
        for (index, value) in values.iter().enumerate() {
            if let Some((position, character)) = encoding::offenders(&encoding::to_nfc(value)).next() {
                let message = format!(
                    "{name} may be value {index}, where {} at position {position} is not in GSM-7",
                    shown(character)
                );
                self.report.error_at(self.pointer, place, message);
                self.report.about(character);
            }
        }
    }
}
