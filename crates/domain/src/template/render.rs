//! A template that was found good, and its renderings.

use std::collections::{BTreeMap, HashMap};

use super::definition::{Definition, Variable};
use super::lint::{self, ReadText, Report, WorstCase};
use super::locale::Locale;
use super::text::Piece;
use super::value::{VariableError, VariableProblem, Variables};
use super::variable::Given;
use crate::encoding;
use crate::ids::MessageId;
use crate::phone::Country;
use crate::scenario::Scenario;

/// A template without mistakes, ready to be rendered.
pub struct Template {
    scenario: Option<Scenario>,
    default_locale: Locale,
    variables: BTreeMap<String, Variable>,
    locales: BTreeMap<Locale, Vec<ReadText>>,
    worst: Vec<WorstCase>,
}

/// A text for one receiver.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text, in Unicode normalization form C.
    pub text: String,
    /// Its language, which may be the one that was fallen back to.
    pub locale: Locale,
    /// Which of the texts of that language, counted from 0.
    pub variant: usize,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Template({} locales, {} variables)", self.locales.len(), self.variables.len())
    }
}

impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { text, locale, variant } = self;
        write!(f, "Rendered({} characters, {locale}, variant {variant})", text.chars().count())
    }
}

impl Template {
    /// Reads a definition, and tells what the linter found. There is a template if that is no error.
    pub fn compile(definition: &Definition) -> (Option<Self>, Report) {
        let (locales, report) = lint::lint(definition);
        if report.has_errors() {
            return (None, report);
        }
        let template = Self {
            scenario: definition.scenario,
            default_locale: definition.default_locale.clone(),
            variables: definition.variables.clone(),
            locales,
            worst: report.worst.clone(),
        };
        (Some(template), report)
    }

    /// The scenario of its messages where a request names none.
    pub fn scenario(&self) -> Option<Scenario> {
        self.scenario
    }

    /// What each of its texts takes at most.
    pub fn worst(&self) -> &[WorstCase] {
        &self.worst
    }

    /// The most segments that any rendering takes.
    pub fn most_segments(&self) -> usize {
        self.worst.iter().map(|case| case.most.segments).max().unwrap_or(1)
    }

    /// Whether it has a variable of that name.
    pub fn has_variable(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// The language for whoever asks for `wanted`: that one, or its language alone, or the default.
    pub fn locale(&self, wanted: Option<&Locale>) -> &Locale {
        let Some(wanted) = wanted else { return &self.default_locale };
        let found = self.locales.get_key_value(wanted).or_else(|| {
            let language = wanted.language().parse::<Locale>().ok()?;
            self.locales.get_key_value(&language)
        });
        found.map_or(&self.default_locale, |(locale, _)| locale)
    }

    /// Writes the text for one receiver, or says everything that is wrong with the values.
    ///
    /// Of several variants, the message's id decides which: so whoever asks again gets the same one. Numbers in national
    /// form belong to `region`.
    pub fn render(
        &self,
        wanted: Option<&Locale>,
        variables: &Variables,
        id: MessageId,
        region: Country,
    ) -> Result<Rendered, Vec<VariableError>> {
        let given = self.given(variables, region)?;
        let locale = self.locale(wanted);
        let (variant, pieces) = self.chosen(locale, id);
        Ok(written(locale, variant, pieces, &given))
    }

    /// Writes every variant that a receiver might get.
    pub fn render_all(
        &self,
        wanted: Option<&Locale>,
        variables: &Variables,
        region: Country,
    ) -> Result<Vec<Rendered>, Vec<VariableError>> {
        let given = self.given(variables, region)?;
        let locale = self.locale(wanted);
        let variants = self.locales.get(locale).map_or(&[][..], Vec::as_slice).iter().enumerate();
        Ok(variants.map(|(variant, read)| written(locale, variant, &read.pieces, &given)).collect())
    }

    /// The values, each of its type and within its bounds.
    fn given(
        &self,
        variables: &Variables,
        region: Country,
    ) -> Result<HashMap<&str, Given>, Vec<VariableError>> {
        let mut errors: Vec<_> = variables
            .names()
            .filter(|name| !self.variables.contains_key(*name))
            .map(|name| VariableError::new(name, VariableProblem::Unknown))
            .collect();
        let mut given = HashMap::with_capacity(self.variables.len());
        for (name, variable) in &self.variables {
            match variable.read(variables.get(name), region) {
                Ok(value) => drop(given.insert(name.as_str(), value)),
                Err(problem) => errors.push(VariableError::new(name, problem)),
            }
        }
        if errors.is_empty() { Ok(given) } else { Err(errors) }
    }

    fn chosen(&self, locale: &Locale, id: MessageId) -> (usize, &[Piece]) {
        let variants = self.locales.get(locale).map_or(&[][..], Vec::as_slice);
        let total: u64 = variants.iter().map(|variant| u64::from(variant.weight)).sum();
        let mut turn = chance(id) % total.max(1);
        for (index, variant) in variants.iter().enumerate() {
            match turn.checked_sub(variant.weight.into()) {
                Some(left) => turn = left,
                None => return (index, &variant.pieces),
            }
        }
        (0, &[])
    }
}

fn written(locale: &Locale, variant: usize, pieces: &[Piece], given: &HashMap<&str, Given>) -> Rendered {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal { text: literal, .. } => text.push_str(literal),
            Piece::Variable { name, filters, .. } => {
                if let Some(value) = given.get(name.as_str()) {
                    text.push_str(&value.show(filters));
                }
            }
        }
    }
    Rendered { text: encoding::to_nfc(&text).into_owned(), locale: locale.clone(), variant }
}

/// The part of an id that is chance: the last eight bytes of a `UUIDv7`, but for two bits.
fn chance(id: MessageId) -> u64 {
    let mut last = [0; 8];
    last.copy_from_slice(id.as_bytes().last_chunk::<8>().unwrap_or(&[0; 8]));
    u64::from_be_bytes(last) & (u64::MAX >> 2)
}
