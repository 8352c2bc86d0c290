//! A provider's callback as it came, for people: without texts of messages, and with the receiver's number masked as
//! its viewer sees it.

use domain::phone::Msisdn;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::mask;
use crate::keys::Identity;

/// Fields that hold the text of a message at one provider or another.
const TEXTS: &[&str] = &["body", "text", "message"];

/// Fewer digits than any number has: a year, a code, a segment count.
const SHORTEST_RUN: usize = 7;

/// A callback's body.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum RawCallback {
    /// A form: its fields in order.
    Form(Vec<RawField>),
    /// JSON.
    #[schema(value_type = Object)]
    Json(Value),
}

/// A field of a form.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct RawField {
    /// Its name, as the provider wrote it.
    #[schema(example = "MessageStatus")]
    name: String,
    /// Its value, decoded.
    #[schema(example = "delivered")]
    value: String,
}

impl RawCallback {
    /// Reads a body; `None` for an empty one.
    pub(super) fn read(body: &[u8], receiver: Msisdn, viewer: &Identity) -> Option<Self> {
        let mask = Mask { receiver, shown_as: mask::number(receiver, viewer) };
        if let Ok(json) = serde_json::from_slice::<Value>(body)
            && (json.is_object() || json.is_array())
        {
            return Some(Self::Json(mask.json(json)));
        }
        let fields: Vec<RawField> = url::form_urlencoded::parse(body)
            .filter(|(name, _)| !is_text(name))
            .map(|(name, value)| RawField { name: mask.text(&name), value: mask.text(&value) })
            .collect();
        (!fields.is_empty()).then_some(Self::Form(fields))
    }
}

fn is_text(name: &str) -> bool {
    TEXTS.iter().any(|text| name.eq_ignore_ascii_case(text))
}

/// Hides one number wherever it stands.
struct Mask {
    receiver: Msisdn,
    /// What stands in its place.
    shown_as: String,
}

impl Mask {
    fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => self.text(&text).into(),
            Value::Number(number) => {
                let (written, masked) = (number.to_string(), self.text(&number.to_string()));
                if written == masked { Value::Number(number) } else { masked.into() }
            }
            Value::Array(values) => values.into_iter().map(|value| self.json(value)).collect(),
            Value::Object(fields) => {
                let shown = fields.into_iter().filter(|(name, _)| !is_text(name));
                shown.map(|(name, value)| (self.text(&name), self.json(value))).collect()
            }
            other => other,
        }
    }

    /// The text with every run of digits masked that is the number, in international form or without the
    /// country's code.
    fn text(&self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut run = String::new();
        for letter in text.chars().map(Some).chain([None]) {
            match letter {
                Some(digit) if digit.is_ascii_digit() => run.push(digit),
                other => {
                    self.put_run(&mut shown, &run);
                    run.clear();
                    shown.extend(other);
                }
            }
        }
        shown
    }

    fn put_run(&self, shown: &mut String, run: &str) {
        if !self.is_number(run) {
            return shown.push_str(run);
        }
        if shown.ends_with('+') {
            shown.pop();
        }
        shown.push_str(&self.shown_as);
    }

    fn is_number(&self, run: &str) -> bool {
        // Who may see the number sees all of it as it was written.
        if self.shown_as == self.receiver.to_e164() {
            return false;
        }
        let number = self.receiver.number().to_string();
        let digits = run.trim_start_matches('0');
        run.contains(&number) || digits.len() >= SHORTEST_RUN && number.ends_with(digits)
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::KeyId;
    use domain::phone::Country;
    use domain::time::Timestamp;
    use serde_json::json;
    use store::port::keys::ApiKey;

    use super::*;

    fn viewer(scope: &str) -> Identity {
        let now = Timestamp::from_micros(0);
        let key = ApiKey::new(KeyId::new(now, [0; 10]), "test", [0; 32], now);
        ApiKey { scopes: vec![scope.into()], ..key }.into()
    }

    fn read(body: &str, scope: &str) -> Value {
        let receiver = Msisdn::parse("+254712345678", Country::KE).unwrap();
        serde_json::to_value(RawCallback::read(body.as_bytes(), receiver, &viewer(scope))).unwrap()
    }

    fn field(name: &str, value: &str) -> Value {
        json!({"name": name, "value": value})
    }

    #[test]
    fn the_fields_of_a_form_stand_in_order_with_the_number_masked() {
        let body = "To=%2B254712345678&Status=delivered&To=254712345678&Local=0712345678&Id=SM0712345679&Body=Habari";
        let shown = [
            field("To", "+254*****5678"),
            field("Status", "delivered"),
            field("To", "+254*****5678"),
            field("Local", "+254*****5678"),
            field("Id", "SM0712345679"),
        ];
        assert_eq!(read(body, "sms:send"), json!(shown));
        assert_eq!(read(body, "sms:read")[0], field("To", "+254712345678"));
    }

    #[test]
    fn json_stays_json_without_texts() {
        let body = r#"{"to": 254712345678, "list": [{"n": "x +254712345678!", "text": "Habari"}], "n": 7}"#;
        let shown = json!({"to": "+254*****5678", "list": [{"n": "x +254*****5678!"}], "n": 7});
        assert_eq!(read(body, "sms:send"), shown);
        assert_eq!(read("", "sms:send"), Value::Null);
    }

    #[test]
    fn short_runs_of_digits_are_left_alone() {
        assert_eq!(
            read("a=5678&b=45678+345678", "sms:send"),
            json!([field("a", "5678"), field("b", "45678 345678")])
        );
    }
}
