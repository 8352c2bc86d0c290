//! The tables as data: what is needed to carry a whole database to another backend.
//!
//! The rooms know their tables by the statements that they need. Carrying needs every column of every table, and the
//! same of both backends, so it has this one description: rows are read, written and compared by it. A test compares it
//! with what the migrations made, so that no table or column can be forgotten.

mod value;

use std::fmt::Write as _;

pub(crate) use self::value::{Row, Value};

/// A table that is carried.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// How many of the columns, from the first on, tell one row from all others. Rows are read and compared in the order
    /// of these.
    key: usize,
    pub(crate) columns: &'static [Column],
    /// Which rows are carried, as a condition; `None` for all.
    only: Option<&'static str>,
}

/// A column that is carried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// What a column holds. SQLite has one kind of integers and one of bytes, PostgreSQL has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An integer of two bytes in PostgreSQL.
    Small,
    /// An integer of four bytes in PostgreSQL.
    Int,
    /// An integer of eight bytes.
    Big,
    Text,
    /// Sixteen bytes.
    Id,
    Bytes,
}

const fn small(name: &'static str) -> Column {
    Column { name, kind: Kind::Small }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

const fn big(name: &'static str) -> Column {
    Column { name, kind: Kind::Big }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn id(name: &'static str) -> Column {
    Column { name, kind: Kind::Id }
}

const fn bytes(name: &'static str) -> Column {
    Column { name, kind: Kind::Bytes }
}

const fn table(name: &'static str, key: usize, columns: &'static [Column]) -> Table {
    Table { name, key, columns, only: None }
}

/// The keys under which all else is sealed.
pub(crate) const DATA_KEYS: &str = "data_keys";

/// All that is carried, in this order: what is read by many first, what says that there is work last. A partitioned table
/// is named once, by its own name.
pub(crate) const TABLES: &[Table] = &[
    table(DATA_KEYS, 1, &[int("id"), bytes("wrapped"), int("in_use")]),
    table("api_keys", 1, API_KEYS),
    table("former_secrets", 1, &[bytes("hash"), id("key_id"), big("ends_at")]),
    table("templates", 2, TEMPLATES),
    table("drained", 1, &[text("provider"), big("since")]),
    table("messages", 1, MESSAGES),
    table("states", 1, STATES),
    table("attempts", 2, ATTEMPTS),
    // By the order in which they came, which both backends number alike.
    table("callbacks", 1, CALLBACKS),
    table("rounds", 1, &[id("message_id"), int("round"), int("resends"), big("began_at"), big("expires_at")]),
    table("idempotency", 2, &[big("day"), bytes("key"), bytes("request"), text("reply"), big("created_at")]),
    Table { only: Some(NO_MARK_OF_A_MOVE), ..table("progress", 1, &[text("chore"), bytes("mark")]) },
    table("guard_counts", 3, GUARD_COUNTS),
    table("guard_decisions", 1, GUARD_DECISIONS),
    table("guard_samples", 1, &[id("message_id"), id("decision_id")]),
    table("verifications", 1, VERIFICATIONS),
    table("conversions", 4, CONVERSIONS),
    table("feedback", 1, &[id("message_id"), text("outcome"), big("at")]),
    table("prompts", 1, PROMPTS),
    table("prompt_receivers", 2, PROMPT_RECEIVERS),
    table("prompt_messages", 3, &[id("prompt_id"), int("place"), int("number"), id("message_id")]),
    table("prompt_replies", 1, PROMPT_REPLIES),
    table("prompt_asks", 1, &[big("receiver_hash"), id("inbound_id"), big("asked_at")]),
    table("outbox", 1, OUTBOX),
    table("events", 1, EVENTS),
    table("webhook_endpoints", 1, WEBHOOK_ENDPOINTS),
    table("deliveries", 2, DELIVERIES),
    table("delivery_posts", 3, DELIVERY_POSTS),
    table("erasable", 1, &[id("message_id")]),
    table("audit", 2, AUDIT),
    table("audit_heads", 1, AUDIT_HEADS),
    table("audit_checkpoints", 1, AUDIT_CHECKPOINTS),
    table("reservations", 2, &[id("message_id"), big("quota"), big("amount"), int("after_attempt")]),
    table("quotas", 1, &[big("quota"), big("value"), big("ends_at")]),
    table("inbound", 1, INBOUND),
    table("consents", 1, CONSENTS),
    table("opt_outs", 3, OPT_OUTS),
    table("watches", 2, WATCHES),
    table("queue", 4, QUEUE),
];

/// What a database has of its own: who serves it and does what for all, who takes events, what readiness writes, which version of the schema it
/// has, and a journal that is brought to its table before that is carried.
#[cfg(test)]
pub(crate) const NOT_CARRIED: &[&str] =
    &["nodes", "leases", "probe", "draws", "event_takers", "tuma_schema", "sqlite_sequence"];

/// How far a move has come is told beside how far the chores have come, and is about this database alone.
const NO_MARK_OF_A_MOVE: &str = "substr(chore, 1, 5) <> 'move:'";

const PROMPTS: &[Column] = &[
    id("id"),
    id("caller"),
    text("kind"),
    text("reference"),
    text("policy"),
    int("veto"),
    big("created_at"),
    big("closes_at"),
    text("reminders"),
    big("remind_at"),
    big("closed_at"),
    text("closed_by"),
    text("outcome"),
];

const PROMPT_RECEIVERS: &[Column] =
    &[id("prompt_id"), int("place"), big("receiver_hash"), int("left_out"), big("closed_at")];

const PROMPT_REPLIES: &[Column] = &[
    id("inbound_id"),
    id("prompt_id"),
    int("place"),
    big("received_at"),
    text("fate"),
    text("answer"),
    bytes("sealed_words"),
];

const OUTBOX: &[Column] = &[
    big("id"),
    id("message_id"),
    text("status"),
    text("provider"),
    text("reason"),
    text("provider_code"),
    big("at"),
];

const EVENTS: &[Column] = &[
    big("number"),
    text("kind"),
    id("subject"),
    id("caller"),
    big("at"),
    text("provider"),
    text("reason"),
    text("provider_code"),
    bytes("sealed_data"),
    small("publish"),
    small("stage"),
];

const WEBHOOK_ENDPOINTS: &[Column] = &[
    id("id"),
    id("caller"),
    small("hears_all"),
    bytes("sealed_url"),
    text("description"),
    text("events"),
    bytes("sealed_secret"),
    bytes("sealed_former"),
    big("former_ends_at"),
    big("disabled_at"),
    text("disabled_reason"),
    int("failures"),
    big("failing_since"),
    big("rests_until"),
    big("created_at"),
];

const DELIVERIES: &[Column] = &[
    big("number"),
    id("endpoint_id"),
    id("subject"),
    text("kind"),
    text("state"),
    big("due_at"),
    big("since"),
    int("posts"),
    int("posts_before"),
];

const DELIVERY_POSTS: &[Column] =
    &[big("number"), id("endpoint_id"), int("post"), big("at"), int("took_ms"), int("status"), text("error")];

const GUARD_COUNTS: &[Column] = &[
    text("grain"),
    big("bucket"),
    text("subject"),
    big("sent"),
    big("expected"),
    big("verified"),
    big("suspected"),
    big("changed_at"),
];

const GUARD_DECISIONS: &[Column] = &[
    id("id"),
    big("at"),
    big("last_at"),
    text("mode"),
    text("country"),
    big("prefix"),
    id("caller"),
    text("scenario"),
    text("reasons"),
    big("messages"),
    big("sampled"),
    big("confirmed"),
];

const VERIFICATIONS: &[Column] = &[
    id("message_id"),
    id("caller"),
    big("receiver_hash"),
    text("country"),
    text("status"),
    bytes("code_hash"),
    bytes("sealed_code"),
    int("checks_left"),
    big("created_at"),
    big("expires_at"),
    big("ended_at"),
];

const CONVERSIONS: &[Column] =
    &[text("grain"), big("bucket"), text("provider"), text("country"), big("sent"), big("verified")];

const API_KEYS: &[Column] = &[
    id("id"),
    text("name"),
    bytes("hash"),
    text("scopes"),
    big("created_at"),
    big("expires_at"),
    big("revoked_at"),
    text("scenarios"),
    text("countries"),
    text("senders"),
    big("last_used_at"),
];

const TEMPLATES: &[Column] = &[
    text("name"),
    int("version"),
    text("definition"),
    big("created_at"),
    text("created_by"),
    big("published_at"),
    text("published_by"),
    big("retired_at"),
];

const MESSAGES: &[Column] = &[
    id("id"),
    id("bulk_id"),
    id("caller"),
    big("receiver_hash"),
    text("country"),
    text("sender"),
    text("scenario"),
    text("priority"),
    text("encoding"),
    int("segments"),
    text("reference"),
    text("group_name"),
    text("metadata"),
    big("scheduled_at"),
    big("expires_at"),
    big("created_at"),
    bytes("sealed_receiver"),
    bytes("sealed_body"),
    text("template"),
];

const STATES: &[Column] = &[
    id("message_id"),
    text("status"),
    text("provider"),
    text("reason"),
    text("provider_code"),
    big("updated_at"),
];

const ATTEMPTS: &[Column] = &[
    id("message_id"),
    int("number"),
    text("provider"),
    id("node"),
    big("lease_until"),
    big("started_at"),
    big("ended_at"),
    text("outcome"),
    text("reason"),
    text("provider_code"),
    text("provider_message_id"),
    int("segments"),
    big("cost_micros"),
    text("cost_currency"),
];

const CALLBACKS: &[Column] = &[
    big("id"),
    big("received_at"),
    text("provider"),
    text("provider_message_id"),
    big("receiver_hash"),
    id("message_id"),
    text("provider_status"),
    text("status"),
    text("reason"),
    text("provider_code"),
    text("network_code"),
    bytes("sealed_raw"),
    int("attempt"),
];

const AUDIT: &[Column] = &[
    big("chain"),
    big("seq"),
    big("at"),
    text("actor"),
    text("event"),
    id("message_id"),
    big("receiver"),
    text("provider"),
    int("length"),
    int("segments"),
    text("outcome"),
    text("subject"),
    bytes("hash"),
];

const AUDIT_HEADS: &[Column] = &[
    big("chain"),
    big("seq"),
    big("at"),
    bytes("hash"),
    big("forgotten_seq"),
    bytes("forgotten_hash"),
    bytes("code"),
    big("last_checkpoint"),
];

const AUDIT_CHECKPOINTS: &[Column] =
    &[big("number"), big("at"), bytes("seen"), bytes("previous"), bytes("hash"), bytes("signature")];

const INBOUND: &[Column] = &[
    id("id"),
    big("received_at"),
    text("provider"),
    text("provider_message_id"),
    big("from_hash"),
    text("country"),
    bytes("sealed_from"),
    text("sent_to"),
    bytes("sealed_text"),
    bytes("sealed_raw"),
    int("segments"),
    text("keyword"),
    text("word"),
    id("caller"),
    text("handling"),
    int("replied"),
];

const CONSENTS: &[Column] = &[
    id("id"),
    big("at"),
    big("number_hash"),
    text("country"),
    bytes("sealed_number"),
    text("sender"),
    text("direction"),
    text("extent"),
    text("source"),
    text("provider"),
    id("inbound_id"),
    text("detail"),
    text("actor"),
];

const OPT_OUTS: &[Column] =
    &[big("number_hash"), text("sender"), text("extent"), id("consent_id"), text("source"), big("since")];

const WATCHES: &[Column] = &[
    big("due_at"),
    id("message_id"),
    text("kind"),
    int("attempt"),
    text("provider"),
    big("receiver_hash"),
    int("resends"),
];

const QUEUE: &[Column] = &[
    text("provider"),
    small("lane"),
    big("due_at"),
    id("message_id"),
    int("attempt"),
    big("expires_at"),
    text("refused_by"),
    int("resends"),
];

impl Table {
    /// The columns that tell one row from all others.
    pub(crate) fn key(&self) -> &'static [Column] {
        &self.columns[..self.key]
    }

    /// The key of a row.
    pub(crate) fn key_of(&self, row: &Row) -> Row {
        row.iter().take(self.key).cloned().collect()
    }

    /// How people find a row that belongs to something with an id: of a message, in most tables.
    pub(crate) fn id_of(&self, row: &Row) -> Option<String> {
        let is_id = |(column, _): &(&Column, &Value)| column.kind == Kind::Id;
        let Some((_, Value::Bytes(id))) = self.columns.iter().zip(row).find(is_id) else { return None };
        Some(id.iter().fold(String::from("the row of "), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    /// A column of this row that PostgreSQL could not hold, if there is one: SQLite's types are wider.
    pub(crate) fn unfit(&self, row: &Row) -> Option<&'static Column> {
        self.columns
            .iter()
            .zip(row)
            .find(|(column, value)| !value.fits(column.kind))
            .map(|(column, _)| column)
    }

    /// The names of all columns, as statements list them.
    pub(crate) fn names(&self) -> String {
        self.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    }

    /// Reads all rows in the order of the key; if `behind`, those behind the key that is bound. `bytewise` is how the
    /// backend is told to compare texts byte by byte, which is the order that both have.
    pub(crate) fn select(&self, behind: bool, bytewise: &str) -> String {
        let ordered = |column: &Column| match column.kind {
            Kind::Text => format!("{}{bytewise}", column.name),
            _ => column.name.to_owned(),
        };
        let key = self.key().iter().map(ordered).collect::<Vec<_>>().join(", ");
        let mut sql = format!("SELECT {} FROM {}{}", self.names(), self.name, self.condition());
        if behind {
            let places: Vec<_> = (1..=self.key).map(|place| format!("${place}")).collect();
            let word = if self.only.is_some() { "AND" } else { "WHERE" };
            let _ = write!(sql, " {word} ({key}) > ({})", places.join(", "));
        }
        let _ = write!(sql, " ORDER BY {key}");
        sql
    }

    /// Counts the rows.
    pub(crate) fn count(&self) -> String {
        format!("SELECT count(*) FROM {}{}", self.name, self.condition())
    }

    /// One if there is any row, else none.
    pub(crate) fn any(&self) -> String {
        format!("SELECT count(*) FROM (SELECT 1 FROM {}{} LIMIT 1) AS found", self.name, self.condition())
    }

    fn condition(&self) -> String {
        self.only.map(|only| format!(" WHERE {only}")).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_in_the_order_of_their_key_with_texts_byte_by_byte() {
        let queue = TABLES.iter().find(|table| table.name == "queue").unwrap();
        assert_eq!(
            queue.select(true, " COLLATE \"C\""),
            "SELECT provider, lane, due_at, message_id, attempt, expires_at, refused_by, resends FROM queue \
             WHERE (provider COLLATE \"C\", lane, due_at, message_id) > ($1, $2, $3, $4) \
             ORDER BY provider COLLATE \"C\", lane, due_at, message_id"
        );
        let progress = TABLES.iter().find(|table| table.name == "progress").unwrap();
        assert_eq!(
            progress.select(true, ""),
            "SELECT chore, mark FROM progress WHERE substr(chore, 1, 5) <> 'move:' AND (chore) > ($1) ORDER BY chore"
        );
    }

    #[test]
    fn what_postgresql_can_not_hold_is_named_by_its_column() {
        let drained = TABLES.iter().find(|table| table.name == "drained").unwrap();
        let row = |provider: &str| vec![Value::Text(provider.into()), Value::Integer(i64::MAX)];
        assert!(drained.unfit(&row("a")).is_none());
        assert_eq!(drained.unfit(&row("a\0b")).map(|column| column.name), Some("provider"));
    }
}
