//! Reads an adapter's settings into its type, and says what is wrong with them without ever quoting a value.
//!
//! serde's usual errors quote (`invalid type: integer 4711, expected a string`), and here a value may be a
//! password that somebody wrote under the wrong key. So the errors are made here, of the key, of what was
//! expected and of the kind of value that was found.

use std::collections::BTreeMap;
use std::fmt;

use domain::secret::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

/// What is wrong with the settings, and with which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    key: Option<String>,
    what: String,
}

impl Problem {
    fn new(what: impl Into<String>) -> Self {
        Self { key: None, what: what.into() }
    }

    /// The same, with a key that it lies under.
    fn at(self, outer: &str) -> Self {
        let key = match self.key {
            Some(inner) => format!("{outer}.{inner}"),
            None => outer.to_owned(),
        };
        Self { key: Some(key), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{key}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for Problem {}

impl serde::de::Error for Problem {
    /// The text of an error of our own types, which hold no values.
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, found {}", kind(&found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, found another {}", kind(&found)))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("expected one of {}", expected.join(", ")))
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::new("there is no such key").at(field)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new("is not set").at(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new("is set twice").at(field)
    }
}

/// The kind of a value, in the words of a settings file.
fn kind(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "whole number",
        Unexpected::Float(_) => "number",
        Unexpected::Char(_) | Unexpected::Str(_) => "text",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "list",
        Unexpected::Map => "table",
        _ => "value",
    }
}

/// Reads settings. White space around a text is dropped, since it comes in with a copied credential and is
/// never meant; a text that is empty then is not set.
pub(crate) fn read<T: DeserializeOwned>(
    keys: Map<String, Value>,
    secrets: BTreeMap<String, SecretString>,
) -> Result<T, Problem> {
    let trimmed = keys.into_iter().map(|(key, value)| match value {
        Value::String(text) => (key, Value::String(text.trim().to_owned())),
        other => (key, other),
    });
    let set = trimmed.filter(|(_, value)| value.as_str() != Some("") && !value.is_null());
    let set = set.map(|(key, value)| (key, Setting::Plain(value)));
    let secrets = secrets.into_iter().filter(|(_, secret)| !secret.expose_secret().trim().is_empty());
    let secrets = secrets.map(|(key, secret)| (key, Setting::Secret(secret)));
    T::deserialize(MapAccessDeserializer::new(Keys::of(set.chain(secrets).collect())))
}

/// Reads settings as they are. What is wrong with them is said without quoting a value.
pub fn deserialize<T: DeserializeOwned>(keys: Map<String, Value>) -> Result<T, Problem> {
    T::deserialize(MapAccessDeserializer::new(Keys::of_values(keys)))
}

/// Takes a text for a secret: for `#[serde(deserialize_with)]`.
pub(crate) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    String::deserialize(deserializer).map(|text| Some(text.into()))
}

/// Keys with their values, one after the other. Whatever is wrong with a value gets its key here.
struct Keys {
    rest: std::vec::IntoIter<(String, Setting)>,
    current: Option<(String, Setting)>,
}

impl Keys {
    fn of(settings: Vec<(String, Setting)>) -> Self {
        Self { rest: settings.into_iter(), current: None }
    }

    fn of_values(map: Map<String, Value>) -> Self {
        Self::of(map.into_iter().map(|(key, value)| (key, Setting::Plain(value))).collect())
    }
}

impl<'de> MapAccess<'de> for Keys {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        self.current = self.rest.next();
        self.current.as_ref().map(|(key, _)| seed.deserialize(key.clone().into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let (key, value) = self.current.take().ok_or_else(|| Problem::new("a value without a key"))?;
        seed.deserialize(value).map_err(|problem| problem.at(&key))
    }
}

/// A value. A secret is lent to whoever reads it, so that no copy of it is left behind.
enum Setting {
    Plain(Value),
    Secret(SecretString),
}

impl IntoDeserializer<'_, Problem> for Setting {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Setting {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let value = match self {
            Self::Secret(secret) => return visitor.visit_str(secret.expose_secret().trim()),
            Self::Plain(value) => value,
        };
        match value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (.., Some(number)) => visitor.visit_f64(number),
                _ => Err(Problem::new("is out of range")),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(values) => {
                visitor.visit_seq(SeqDeserializer::new(values.into_iter().map(Self::Plain)))
            }
            Value::Object(map) => visitor.visit_map(Keys::of_values(map)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self {
            Self::Plain(Value::String(word)) => visitor.visit_enum(word.into_deserializer()),
            _ => Err(Problem::new("expected a word")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        name: Option<String>,
        #[serde(default)]
        speed: Speed,
        #[serde(default)]
        ports: Vec<u16>,
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize, PartialEq, Default)]
    #[serde(rename_all = "snake_case")]
    enum Speed {
        #[default]
        Slow,
        Fast,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        ratio: f64,
    }

    fn read_json(keys: Value) -> Result<Settings, String> {
        let Value::Object(keys) = keys else { return Err("no object".to_owned()) };
        read(keys, BTreeMap::new()).map_err(|problem| problem.to_string())
    }

    #[test]
    fn values_of_every_kind_are_read() {
        let keys = json!({"name": " a b\n", "speed": "fast", "ports": [1, 2], "inner": {"ratio": 0.5}});
        let inner = Some(Inner { ratio: 0.5 });
        let expected =
            Settings { name: Some("a b".to_owned()), speed: Speed::Fast, ports: vec![1, 2], inner };
        assert_eq!(read_json(keys), Ok(expected));
        let nothing = Settings { name: None, speed: Speed::Slow, ports: Vec::new(), inner: None };
        assert_eq!(read_json(json!({"name": " ", "inner": null})), Ok(nothing));
    }

    #[test]
    fn problem_names_the_key_and_quotes_nothing() {
        let table = [
            (json!({"name": 4711}), "name: expected a string, found whole number"),
            (json!({"speed": "4711"}), "speed: expected one of slow, fast"),
            (json!({"speed": 4711}), "speed: expected a word"),
            (json!({"ports": [1, "4711"]}), "ports: expected u16, found text"),
            (json!({"ports": [471_147]}), "ports: expected u16, found another whole number"),
            (json!({"inner": {"ratio": "4711"}}), "inner.ratio: expected f64, found text"),
            (json!({"inner": {"ration": 4711}}), "inner.ration: there is no such key"),
            (json!({"inner": {}}), "inner.ratio: is not set"),
            (json!({"nam": "4711"}), "nam: there is no such key"),
        ];
        for (keys, expected) in table {
            assert_eq!(read_json(keys), Err(expected.to_owned()));
        }
    }
}
