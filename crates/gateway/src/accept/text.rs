//! Where the text of a message comes from: the request, or a template.

use std::sync::Arc;

use domain::encoding;
use domain::ids::MessageId;
use domain::scenario::Scenario;
use domain::secret::Body;
use domain::template::{Locale, Used};

use super::check::field;
use super::{Acceptor, Common, Text, Wording};
use crate::request::{Content, FieldError, FieldProblem, Own};
use crate::templates::Ready;

impl Acceptor<'_> {
    /// What all texts of a request have in common.
    pub(super) fn wording(
        &self,
        content: &Content,
        template: Option<Arc<Ready>>,
        scenario: Scenario,
        errors: &mut Vec<FieldError>,
    ) -> Option<Wording> {
        if content.template.is_none() {
            if !content.variables.is_empty() {
                errors.push(field("/variables", FieldProblem::WithoutTemplate));
            }
            if content.locale.is_some() {
                errors.push(field("/locale", FieldProblem::WithoutTemplate));
            }
            let text = self.measured(&content.message, scenario, None);
            return text.map_err(|problem| errors.push(field("/message", problem))).ok().map(Wording::Same);
        }
        if !content.message.is_empty() {
            errors.push(field("/template", FieldProblem::MessageOrTemplate));
        }
        let locale = locale(content.locale.as_deref());
        let locale = locale.map_err(|problem| errors.push(field("/locale", problem)));
        if template.is_none() {
            errors.push(field("/template", FieldProblem::UnknownTemplate));
        }
        Some(Wording::Own(template?, locale.ok()?))
    }

    /// The text of one message, or everything that is wrong with it.
    pub(crate) fn text(
        &self,
        common: &Common,
        content: &Content,
        own: Option<&Own>,
        id: MessageId,
    ) -> Result<Text, Vec<FieldError>> {
        let (template, shared) = match &common.wording {
            Wording::Same(text) => return Ok(text.clone()),
            Wording::Own(template, locale) => (template, locale),
        };
        let wanted = own.and_then(|own| own.locale.as_deref());
        let wanted = locale(wanted).map_err(|problem| vec![field("/locale", problem)])?;
        let all;
        let variables = match own {
            Some(own) if !own.variables.is_empty() => {
                all = own.variables.over(&content.variables);
                &all
            }
            _ => &content.variables,
        };
        let locale = wanted.as_ref().or(shared.as_ref());
        let written = template.write(locale, variables, id, self.settings.default_region);
        let written =
            written.map_err(|errors| errors.into_iter().map(FieldError::from).collect::<Vec<_>>())?;
        self.measured(&written.text, common.scenario, Some(written.used))
            .map_err(|problem| vec![field("/template", problem)])
    }

    fn measured(&self, text: &str, scenario: Scenario, template: Option<Used>) -> Result<Text, FieldProblem> {
        let text = encoding::to_nfc(text);
        let measured = encoding::measure(&text);
        // A template has a promise of its own.
        if template.is_none() {
            self.check_length(&text, scenario)?;
        }
        self.check_text(&text, measured.segments, scenario)?;
        Ok(Text {
            body: Body::new(text.as_ref()),
            encoding: measured.encoding,
            segments: u16::try_from(measured.segments).unwrap_or(u16::MAX),
            template,
        })
    }
}

fn locale(text: Option<&str>) -> Result<Option<Locale>, FieldProblem> {
    text.map(str::parse).transpose().map_err(FieldProblem::Locale)
}
