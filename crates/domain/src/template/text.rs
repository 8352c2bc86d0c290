//! Reading a template's text: minijinja parses, and what is not text or a filtered variable is refused.

use minijinja::machinery::ast::{Expr, Stmt};
use minijinja::machinery::{Span, parse};

use super::filter::Filter;

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Words as they are, and where they begin: a character of the source, counted from 0.
    Literal { text: String, at: usize },
    /// A variable, and where its expression stands.
    Variable { name: String, filters: Vec<Filter>, place: Place },
}

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line, counted from 1.
    pub line: usize,
    /// The character in it, counted from 1.
    pub column: usize,
    /// The character in the text, counted from 0.
    pub position: usize,
}

/// Why a text can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextError {
    pub(super) place: Place,
    pub(super) what: String,
}

impl Place {
    /// Where a character stands, by its number.
    pub(super) fn of_character(source: &str, position: usize) -> Self {
        let before = source.chars().take(position);
        let (mut line, mut column) = (1, 1);
        for character in before {
            if character == '\n' {
                line += 1;
                column = 1;
            } else {
                column += 1;
            }
        }
        Self { line, column, position }
    }

    fn of_byte(source: &str, offset: usize) -> Self {
        let position = source.char_indices().take_while(|(at, _)| *at < offset).count();
        Self::of_character(source, position)
    }
}

/// The parts of a text.
pub(super) fn read(source: &str) -> Result<Vec<Piece>, TextError> {
    let parsed = parse(source, "text", minijinja::syntax::SyntaxConfig::default());
    let parsed = parsed.map_err(|error| {
        let offset = error.range().map_or(0, |range| range.start);
        let what = error.detail().unwrap_or("can't be read").to_owned();
        TextError { place: Place::of_byte(source, offset), what }
    })?;
    let Stmt::Template(template) = parsed else { return Ok(Vec::new()) };
    let pieces = template.children.iter().map(|statement| piece(source, statement));
    let is_empty =
        |piece: &Result<Piece, _>| matches!(piece, Ok(Piece::Literal { text, .. }) if text.is_empty());
    pieces.filter(|piece| !is_empty(piece)).collect()
}

fn piece(source: &str, statement: &Stmt<'_>) -> Result<Piece, TextError> {
    match statement {
        Stmt::EmitRaw(raw) => {
            // A part of the source, which may begin behind its span: white space is taken off by `-%}`.
            let offset = raw.raw.as_ptr().addr().saturating_sub(source.as_ptr().addr());
            let at = Place::of_byte(source, offset).position;
            Ok(Piece::Literal { text: raw.raw.to_owned(), at })
        }
        Stmt::EmitExpr(emitted) => {
            let mut filters = Vec::new();
            let (name, place) = filtered(source, &emitted.expr, &mut filters)?;
            Ok(Piece::Variable { name, filters, place })
        }
        other => Err(refuse(
            source,
            span(other),
            "only text and {{ variable | filter }} may stand here: a template has no conditions, loops or blocks",
        )),
    }
}

/// The variable of an expression, and where it stands; its filters are added in the order in which they apply.
fn filtered(
    source: &str,
    expression: &Expr<'_>,
    filters: &mut Vec<Filter>,
) -> Result<(String, Place), TextError> {
    match expression {
        Expr::Var(variable) => Ok((variable.id.to_owned(), begin(source, variable.span()))),
        Expr::Filter(filter) => {
            let Some(inner) = &filter.expr else {
                return Err(refuse(source, filter.span(), "a filter needs a variable in front of it"));
            };
            let variable = filtered(source, inner, filters)?;
            if !filter.args.is_empty() {
                return Err(refuse(source, filter.span(), "filters have no arguments"));
            }
            let known = filter.name.parse().map_err(|unknown: crate::scenario::UnknownWord| TextError {
                place: begin(source, filter.span()),
                what: unknown.to_string(),
            })?;
            filters.push(known);
            Ok(variable)
        }
        other => Err(refuse(source, other.span(), "only a variable and filters may stand between {{ and }}")),
    }
}

fn begin(source: &str, span: Span) -> Place {
    Place::of_byte(source, usize::try_from(span.start_offset).unwrap_or(usize::MAX))
}

fn refuse(source: &str, span: Span, what: &str) -> TextError {
    TextError { place: begin(source, span), what: what.into() }
}

fn span(statement: &Stmt<'_>) -> Span {
    match statement {
        Stmt::ForLoop(it) => it.span(),
        Stmt::IfCond(it) => it.span(),
        Stmt::WithBlock(it) => it.span(),
        Stmt::Set(it) => it.span(),
        Stmt::SetBlock(it) => it.span(),
        Stmt::AutoEscape(it) => it.span(),
        Stmt::FilterBlock(it) => it.span(),
        Stmt::Do(it) => it.span(),
        Stmt::Template(it) => it.span(),
        Stmt::EmitExpr(it) => it.span(),
        Stmt::EmitRaw(it) => it.span(),
        #[expect(
            unreachable_patterns,
            reason = "other crates may turn on features of minijinja that add kinds"
        )]
        _ => Span::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_of_mistake(source: &str) -> (usize, usize) {
        let place = read(source).unwrap_err().place;
        (place.line, place.column)
    }

    #[test]
    fn text_and_filtered_variables_are_read() {
        let pieces = read("Ref {{ id | last6 | upper }}.").unwrap();
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[0], Piece::Literal { text: "Ref ".into(), at: 0 });
        let Piece::Variable { name, filters, place } = &pieces[1] else { panic!("a variable") };
        assert_eq!((name.as_str(), filters.as_slice()), ("id", [Filter::Last6, Filter::Upper].as_slice()));
        assert_eq!(place.column, 8);
        assert_eq!(pieces[2], Piece::Literal { text: ".".into(), at: 28 });
    }

    #[test]
    fn positions_are_counted_in_characters_behind_trimmed_space() {
        let pieces = read("Jambo 👋 {{ name -}}   rafiki").unwrap();
        assert_eq!(pieces[2], Piece::Literal { text: "rafiki".into(), at: 22 });
    }

    #[test]
    fn everything_else_is_refused_with_its_place() {
        for source in [
            "{% if a %}b{% endif %}",
            "{% for a in b %}{% endfor %}",
            "{% set a = 1 %}",
            "{{ a.b }}",
            "{{ a + b }}",
            "{{ 'text' }}",
            "{{ a() }}",
            "{{ a | last6(3) }}",
            "{{ a | safe }}",
            "{{ a if b else c }}",
            "{{ }}",
            "{{ a",
            "{% include 'x' %}",
        ] {
            assert!(read(source).is_err(), "{source}");
        }
        assert_eq!(place_of_mistake("Habari\n  {{ a + b }}"), (2, 6));
        assert_eq!(place_of_mistake("Habari {{ a | shout }}"), (1, 15));
    }
}
