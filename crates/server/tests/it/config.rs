//! Settings: their layers, their names, and what is said when they are wrong.

use std::collections::BTreeSet;
use std::path::PathBuf;

use server::config::{Config, LogFormat, default_settings};
use tempfile::TempDir;
use toml::{Table, Value};

/// A file of settings in a folder of its own.
struct Settings {
    path: PathBuf,
    _folder: TempDir,
}

impl Settings {
    fn new(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("tuma.toml");
        std::fs::write(&path, text).unwrap();
        Self { path, _folder: folder }
    }

    fn load(&self) -> Result<Config, String> {
        Config::load(Some(&self.path), []).map_err(|problem| problem.to_string())
    }
}

fn load(environment: &[(&str, &str)]) -> Result<Config, String> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(None, environment).map_err(|problem| problem.to_string())
}

fn refusal(environment: &[(&str, &str)]) -> String {
    load(environment).unwrap_err()
}

fn defaults() -> Table {
    default_settings().parse().unwrap()
}

/// Every key with its default; tables are walked through, lists are not.
fn leaves(table: &Table, within: &str) -> Vec<(String, Value)> {
    table
        .iter()
        .flat_map(|(key, value)| {
            let path = if within.is_empty() { key.clone() } else { format!("{within}.{key}") };
            match value {
                Value::Table(below) => leaves(below, &path),
                leaf => vec![(path, leaf.clone())],
            }
        })
        .collect()
}

fn variable(key: &str) -> String {
    format!("TUMA_{}", key.to_uppercase().replace('.', "__"))
}

#[test]
fn a_file_wins_over_the_defaults_and_the_environment_over_both() {
    let file = Settings::new("[http]\nkey_cache_ms = 7\nmax_body_bytes = 2048\n");
    let environment = [("TUMA_HTTP__MAX_BODY_BYTES".to_owned(), "4096".to_owned())];
    let config = Config::load(Some(&file.path), environment).unwrap();
    assert_eq!(config.http.request_timeout_ms, 10_000);
    assert_eq!(config.http.key_cache_ms, 7);
    assert_eq!(config.http.max_body_bytes, 4_096);
}

#[test]
fn a_list_replaces_the_whole_list_below_it() {
    let file = Settings::new("[[routing.rules]]\nprefixes = [\"+255\"]\nprovider = \"twilio\"\n");
    let rules = file.load().unwrap().routing.rules;
    let named: Vec<_> = rules[0].providers().map(domain::route::ProviderName::as_str).collect();
    assert_eq!((rules.len(), named), (1, vec!["twilio"]));
    assert!(load(&[("TUMA_ROUTING__RULES", "[]")]).unwrap().routing.rules.is_empty());
}

#[test]
fn a_file_that_is_named_must_exist() {
    let problem = Config::load(Some("nowhere/tuma.toml".as_ref()), []).unwrap_err().to_string();
    assert!(problem.contains("nowhere/tuma.toml"), "{problem}");
}

#[test]
fn every_key_can_be_set_in_the_environment_by_its_name() {
    for (key, default) in leaves(&defaults(), "") {
        let variable = variable(&key);
        let text = match &default {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let loaded = load(&[(&variable, &text)]);
        assert!(loaded.is_ok(), "{variable}: {}", loaded.unwrap_err());
    }
}

#[test]
fn the_names_that_others_build_on_set_their_keys() {
    let config = load(&[
        ("TUMA_PROVIDERS__TWILIO__MESSAGES_PER_SECOND", "7"),
        ("TUMA_PROVIDERS__TWILIO__BULK_BATCH_SIZE", "5"),
        ("TUMA_PROVIDERS__AFRICASTALKING__MAX_RECEIVERS_PER_REQUEST", "3"),
        ("TUMA_PROVIDERS__AFRICASTALKING__MAX_IN_FLIGHT", "2"),
        ("TUMA_MESSAGES__MAX_CHARACTERS_BY_SCENARIO__OTP", "40"),
        ("TUMA_LOG__FORMAT", "json"),
        ("TWILIO_ACCOUNT_SID", testkit::sim::TWILIO_ACCOUNT_SID),
        ("TWILIO_AUTH_TOKEN", testkit::sim::TWILIO_AUTH_TOKEN),
        ("TWILIO_PHONE_NUMBER", testkit::sim::TWILIO_PHONE_NUMBER),
        ("SMS_AT_API_KEY", "k"),
        ("SMS_AT_USERNAME", "sandbox"),
        ("SMS_PROVIDER", "africastalking"),
    ])
    .unwrap();
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.messages.max_characters_by_scenario.values().collect::<Vec<_>>(), [&40]);
    let factory = config.factory().unwrap();
    assert_eq!(factory.default_provider().as_str(), "africastalking");
    let pace = |name: &str| *factory.create_provider(Some(&name.parse().unwrap())).unwrap().pace();
    assert_eq!((pace("twilio").messages_per_second, pace("twilio").bulk_batch_size), (7, 5));
    let africastalking = pace("africastalking");
    assert_eq!((africastalking.max_receivers_per_request, africastalking.max_in_flight), (3, 2));
}

#[test]
fn a_value_of_the_wrong_type_names_the_variable_and_never_the_value() {
    for (key, default) in leaves(&defaults(), "") {
        if default.is_str() {
            continue;
        }
        let variable = variable(&key);
        let problem = refusal(&[(&variable, "hunter2 \" [")]);
        assert!(problem.contains(&variable), "{variable}: {problem}");
        assert!(!problem.contains("hunter2"), "{variable}: {problem}");
    }
}

#[test]
fn no_refusal_of_a_text_repeats_it() {
    let texts = leaves(&defaults(), "").into_iter().filter(|(_, default)| default.is_str());
    for (key, _) in texts {
        if let Err(problem) = load(&[(&variable(&key), "hunter2!")]) {
            assert!(!problem.contains("hunter2"), "{key}: {problem}");
        }
    }
}

#[test]
fn no_refusal_of_a_file_repeats_what_stands_in_it() {
    let texts = [
        "[providers.twilio]\nauth_token = hunter2",
        "[providers.twilio]\nauth_token = \"hunter2",
        "[providers.twilio]\nauth_token = [\"hunter2\"]",
        "[providers.twilio]\nauth_token = \"a\"\nauth_token = \"hunter2\"",
        "[providers.twilio]\nmax_in_flight = \"hunter2\"",
        "[providers]\ntwilio = \"hunter2\"",
        "providers = \"hunter2\"",
        "database_url = [\"hunter2\"]",
        "public_url = \"hunter2\"",
        "public_url = [\"hunter2\"]",
        "[metrics]\notlp_endpoint = \"hunter2\"",
        "[metrics]\notlp_endpoint = {password = \"hunter2\"}",
        "[log]\nformat = \"hunter2\"",
        "[http]\nkey_cache_ms = \"hunter2\"",
        "[messages]\ndefault_region = \"hunter2\"",
        "[[routing.rules]]\nprovider = \"hunter2!\"",
        "[[routing.rules]]\ncountries = [\"hunter2\"]\nprovider = \"twilio\"",
        "[messages.max_characters_by_scenario]\notp = \"hunter2\"",
        "[quiet_hours.by_scenario]\notp = \"hunter2\"",
        "[quiet_hours]\ntime_zone = \"hunter2\"",
        "[scenarios.otp]\non_silence = \"hunter2\"",
        "[routing.exchange]\nUSD = \"hunter2\"",
        "[[routing.rules]]\nhours = \"hunter2\"\nprovider = \"twilio\"",
        "[routing]\nprices = [{provider = \"twilio\", country = \"KE\", per_segment = \"hunter2\", currency = \"KES\"}]",
    ];
    for text in texts {
        // The keys of a provider are read by its adapter, when it is made.
        let made = Settings::new(text).load().and_then(|config| {
            let factory = config.factory().map_err(|problem| problem.to_string())?;
            factory.create_configured().map_err(|problem| problem.to_string())
        });
        let problem = made.expect_err(text);
        assert!(!problem.contains("hunter2"), "{text}: {problem}");
    }
}

#[test]
fn a_mistake_in_the_syntax_is_named_by_file_and_line() {
    let problem = Settings::new("listen = \"127.0.0.1:0\"\n[http\n").load().unwrap_err();
    assert!(problem.contains("tuma.toml: line 2"), "{problem}");
}

#[test]
fn an_unknown_key_is_refused_by_its_name() {
    for (text, key) in [
        ("colour = 1", "colour"),
        ("[http]\nkey_cash_ms = 1", "http.key_cash_ms"),
        ("[providers.twilio]\nauth_tokens = \"x\"", "providers.twilio.auth_tokens"),
        ("[providers.pigeon]\nloft = \"x\"", "providers.pigeon"),
    ] {
        let problem = Settings::new(text).load().expect_err(text);
        assert!(problem.contains(key) && problem.contains("tuma.toml"), "{problem}");
    }
}

#[test]
fn an_unknown_variable_is_refused_by_its_name() {
    for name in
        ["TUMA_COLOUR", "TUMA_HTTP__KEY_CASH_MS", "TUMA_PROVIDERS__PIGEON__LOFT", "TUMA_HTTP", "TUMA_"]
    {
        let problem = refusal(&[(name, "hunter2")]);
        assert!(problem.contains(name) && !problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn variables_of_others_and_of_the_command_line_are_left_alone() {
    let others = [
        ("TUMA_CONFIG", "x"),
        ("TUMA_URL", "x"),
        ("TUMA_API_KEY", "x"),
        ("HOME", "/"),
        ("TUMAINI", "1"),
        ("TUMA_SERVICE_HOST", "10.0.0.1"),
        ("TUMA_PORT", "tcp://10.0.0.1:8080"),
    ];
    load(&others).unwrap();
}

#[test]
fn an_empty_text_means_not_set() {
    let config =
        load(&[("TUMA_PUBLIC_URL", ""), ("TUMA_OPERATIONS_LISTEN", ""), ("SMS_PROVIDER", "")]).unwrap();
    assert_eq!((config.public_url, config.operations_listen), (None, None));
    assert!(load(&[("TUMA_HTTP__KEY_CACHE_MS", "")]).is_err());
}

#[test]
fn values_that_can_not_be_are_refused_by_their_key() {
    let table = [
        ("TUMA_LISTEN", "here", "listen"),
        ("TUMA_OPERATIONS_LISTEN", "127.0.0.1", "operations_listen"),
        ("TUMA_PUBLIC_URL", "ftp://sms.example.co.ke", "public_url"),
        ("TUMA_PUBLIC_URL", "https://sms.example.co.ke/?a=1", "public_url"),
        ("TUMA_MESSAGES__DEFAULT_REGION", "XX", "messages.default_region"),
        ("TUMA_MESSAGES__MAX_CHARACTERS", "0", "messages.max_characters"),
        ("TUMA_MESSAGES__MAX_CHARACTERS", "1531", "messages.max_characters"),
        ("TUMA_MESSAGES__MAX_CHARACTERS", "-1", "messages.max_characters"),
        ("TUMA_MESSAGES__MAX_CHARACTERS_BY_SCENARIO__OTP", "1531", "messages.max_characters"),
        ("TUMA_MESSAGES__MAX_CHARACTERS_BY_SCENARIO__MARKETING", "10", "messages.max_characters_by_scenario"),
        ("TUMA_ROUTING__RULES", "[{countries = [\"Kenya\"], provider = \"twilio\"}]", "routing.rules"),
        ("TUMA_ROUTING__RULES", "[{countries = [\"KE\"]}]", "routing.rules"),
        ("TUMA_RETRY__MAX_ATTEMPTS", "0", "retry.max_attempts"),
        ("TUMA_RETRY__CAP_MS", "499", "retry.cap_ms"),
        ("TUMA_SCENARIOS__OTP__ON_AMBIGUOUS", "hope", "scenarios.otp.on_ambiguous"),
        ("TUMA_SCENARIOS__OTP__DECIDE_AFTER_S", "0", "scenarios.otp.decide_after_s"),
        ("TUMA_SCENARIOS__ALERT__DELIVER_WITHIN_S", "0", "scenarios.alert.deliver_within_s"),
        ("TUMA_QUIET_HOURS__TIME_ZONE", "Africa/Nowhere", "quiet_hours.time_zone"),
        ("TUMA_QUIET_HOURS__BY_SCENARIO__OTP", "21 to 7", "quiet_hours.by_scenario.otp"),
        ("TUMA_QUIET_HOURS__BY_SCENARIO__MARKETING", "21:00-07:00", "quiet_hours.by_scenario"),
        ("TUMA_ROUTING__RULES", "[{hours = \"9-5\", provider = \"twilio\"}]", "routing.rules"),
        ("TUMA_ROUTING__RULES", "[{cheapest_of = []}]", "routing.rules"),
        ("TUMA_ROUTING__PRICES", "[{provider = \"twilio\", country = \"KE\"}]", "routing.prices"),
        ("TUMA_ROUTING__EXCHANGE__USD", "0", "routing.exchange.usd"),
        ("TUMA_ROUTING__EXCHANGE__DOLLARS", "1", "routing.exchange"),
        ("TUMA_FAILOVER__SILENCE_CAP_PERCENT", "101", "failover.silence_cap_percent"),
        ("TUMA_BREAKER__FAILURES_IN_ROW", "0", "breaker.failures_in_row"),
        ("TUMA_BREAKER__WINDOW_S", "0", "breaker.window_s"),
        ("TUMA_BREAKER__LEAST", "0", "breaker.least"),
        ("TUMA_BREAKER__FAILURE_PERCENT", "101", "breaker.failure_percent"),
        ("TUMA_BREAKER__FIRST_OPEN_MS", "99", "breaker.first_open_ms"),
        ("TUMA_BREAKER__LONGEST_OPEN_MS", "4999", "breaker.longest_open_ms"),
        ("TUMA_BREAKER__PROBES", "0", "breaker.probes"),
        ("TUMA_RECONCILE__FIRST_LOOK_MS", "0", "reconcile.first_look_ms"),
        ("TUMA_RECONCILE__INTERVAL_MS", "0", "reconcile.interval_ms"),
        ("TUMA_RECONCILE__ABSENT_AFTER_MS", "999", "reconcile.absent_after_ms"),
        ("TUMA_RECONCILE__HORIZON_HOURS", "0", "reconcile.horizon_hours"),
        ("TUMA_HTTP__MAX_BODY_BYTES", "10", "http.max_body_bytes"),
        ("TUMA_HTTP__IDEMPOTENCY_HOURS", "23", "http.idempotency_hours"),
        ("TUMA_DISPATCH__LEASE_S", "15", "dispatch.lease_s"),
        ("TUMA_LOG__FORMAT", "xml", "log.format"),
        ("TUMA_PROVIDERS__TWILIO__MAX_IN_FLIGHT", "0", "max_in_flight"),
        ("TUMA_PROVIDERS__TWILIO__MAX_IN_FLIGHT", "-1", "max_in_flight"),
    ];
    for (name, value, key) in table {
        let problem = refusal(&[(name, value)]);
        assert!(problem.contains(key), "{name}={value}: {problem}");
    }
}

#[test]
fn a_default_provider_that_is_none_falls_back() {
    for name in ["pigeon", "Twilio Inc.", "TWILIO", " twilio "] {
        let config = load(&[("SMS_PROVIDER", name)]).unwrap();
        assert_eq!(config.factory().unwrap().default_provider().as_str(), "twilio", "{name}");
    }
}

#[test]
fn the_printed_defaults_are_a_file_that_changes_nothing() {
    let file = Settings::new(&default_settings());
    let (printed, built_in) = (file.load().unwrap(), load(&[]).unwrap());
    assert_eq!(format!("{printed:?}"), format!("{built_in:?}"));
}

#[test]
fn nothing_that_is_shown_of_the_settings_is_a_credential() {
    let secrets = [
        ("TWILIO_AUTH_TOKEN", "hunter2"),
        ("SMS_AT_API_KEY", "hunter2"),
        ("SMS_AT_CALLBACK_SECRET", "hunter2"),
    ];
    assert!(!format!("{:?}", load(&secrets).unwrap()).contains("hunter2"));
}

/// The keys that a page has rows for: those in the column `Key` of its tables.
fn rows_of(page: &str) -> BTreeSet<&str> {
    let tables = page.split("\n\n").filter(|block| block.starts_with('|'));
    let cells = tables.flat_map(|table| {
        let column = table.lines().next().unwrap().split('|').position(|title| title.trim() == "Key");
        table.lines().filter_map(move |row| row.split('|').nth(column?))
    });
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

/// Whether a key has a row: by its name, where `<…>` stands for any one part of it, or by its last part where all scenarios
/// or providers have it.
fn has_row(key: &str, rows: &BTreeSet<&str>) -> bool {
    let parts = key.split('.').count();
    let is_of = |row: &str| {
        row.split('.').count() == parts
            && key.split('.').zip(row.split('.')).all(|(part, named)| part == named || named.starts_with('<'))
    };
    let of_each = key.strip_prefix("scenarios.").or_else(|| key.strip_prefix("providers."));
    let last = of_each.and_then(|rest| rest.split_once('.')).map(|(_, last)| last);
    last.is_some_and(|last| rows.contains(last)) || rows.iter().any(|row| is_of(row))
}

#[test]
fn every_key_has_a_row_in_the_documentation() {
    let rows = rows_of(include_str!("../../../../docs/configuration.md"));
    let without: Vec<_> =
        leaves(&defaults(), "").into_iter().filter(|(key, _)| !has_row(key, &rows)).collect();
    assert!(without.is_empty(), "{without:?}");
    for none in ["http.listen", "http.no_such_bytes", "content.no_such_rule", "scenarios.otp.listen_s"] {
        assert!(!has_row(none, &rows), "{none}");
    }
}

#[test]
fn no_provider_is_given_more_receivers_in_a_request_than_it_takes() {
    let account = [
        ("TWILIO_ACCOUNT_SID", testkit::sim::TWILIO_ACCOUNT_SID),
        ("TWILIO_AUTH_TOKEN", testkit::sim::TWILIO_AUTH_TOKEN),
        ("TWILIO_PHONE_NUMBER", testkit::sim::TWILIO_PHONE_NUMBER),
        ("SMS_AT_API_KEY", "k"),
        ("SMS_AT_USERNAME", "sandbox"),
    ];
    let table = [("TUMA_PROVIDERS__TWILIO__", "2"), ("TUMA_PROVIDERS__AFRICASTALKING__", "201")];
    for (prefix, receivers) in table {
        let variable = format!("{prefix}MAX_RECEIVERS_PER_REQUEST");
        let environment = [&account[..], &[(variable.as_str(), receivers)]].concat();
        let made = load(&environment).unwrap().factory().unwrap().create_configured();
        assert!(made.unwrap_err().to_string().contains("max_receivers_per_request"), "{variable}");
    }
}

#[test]
fn the_password_of_the_database_is_in_no_debug_output_and_no_error() {
    let url = concat!("postgres://tuma:", "hunter2", "@127.0.0.1:1/tuma");
    let config = Config::load(None, [("TUMA_DATABASE_URL".to_owned(), url.to_owned())]).unwrap();
    assert_eq!(config.database_url.expose(), url);
    assert!(!format!("{config:?}").contains("hunter2"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let opened = store::open(
        url,
        store::Options { migrate: false, exclusive: false, keys: Some(testkit::database::data_key()) },
    );
    let refused = runtime.block_on(opened).unwrap_err();
    assert!(matches!(refused, store::StoreError::Unavailable(_)), "{refused}");
    assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    let unreadable = runtime.block_on(store::open(
        concat!("postgres://tuma:", "hunter2", "@127.0.0.1:x/tuma"),
        store::Options { migrate: false, exclusive: false, keys: Some(testkit::database::data_key()) },
    ));
    assert_eq!(unreadable.unwrap_err(), store::StoreError::Address);
}

#[test]
fn address_of_a_broker_holds_no_credentials_and_what_is_wrong_is_not_repeated() {
    let secret = concat!("a-pass", "word");
    let table = [
        (format!("nats://user:{secret}@127.0.0.1"), "must hold no credentials"),
        (format!("nats://127.0.0.1,nats://{secret}@127.0.0.1"), "must hold no credentials"),
        (format!("http://127.0.0.1/{secret}"), "must begin with nats:// or tls://"),
        (format!("user:{secret}@127.0.0.1"), "must begin with nats:// or tls://"),
        (format!("{secret} nats://"), "is no list of addresses"),
    ];
    for (url, problem) in table {
        let refused = refusal(&[("TUMA_BROKER__URL", &url)]);
        assert!(refused.contains("broker.url") && refused.contains(problem), "{refused}");
        assert!(!refused.contains(secret), "{refused}");
    }
    let several = load(&[("TUMA_BROKER__URL", "nats://a:4222, tls://b")]).unwrap();
    assert_eq!(several.broker.url.all().len(), 2);
}

#[test]
fn subjects_and_streams_of_the_broker_are_words_and_apart() {
    let table = [
        ("SEND_SUBJECT", "sms.*", "must be words"),
        ("EVENT_SUBJECT", "sms..event", "must be words"),
        ("DEAD_SUBJECT", "sms.send.dead", "within another"),
        ("EVENT_SUBJECT", "sms", "within another"),
        ("DEAD_STREAM", "a.b", "must be a word"),
        ("ACK_WAIT_S", "0", "from 1 to 3600"),
        ("MAX_IN_FLIGHT", "0", "from 1 to 4096"),
    ];
    for (key, value, problem) in table {
        let refused = refusal(&[(&format!("TUMA_BROKER__{key}"), value)]);
        assert!(refused.contains("broker.") && refused.contains(problem), "{key}: {refused}");
    }
}

#[test]
fn audit_trail_is_kept_for_ninety_days_at_least_and_signed_at_least_each_day() {
    let table = [
        ("TUMA_AUDIT__KEEP_DAYS", "89", "audit.keep_days: must be at least 90"),
        ("TUMA_AUDIT__KEEP_DAYS", "0", "audit.keep_days: must be at least 90"),
        ("TUMA_AUDIT__CHECKPOINT_MINUTES", "0", "from 1 to 1440"),
        ("TUMA_AUDIT__CHECKPOINT_MINUTES", "1441", "from 1 to 1440"),
    ];
    for (variable, value, problem) in table {
        let refused = refusal(&[(variable, value)]);
        assert!(refused.contains(problem), "{refused}");
    }
    let longer = load(&[("TUMA_AUDIT__KEEP_DAYS", "365")]).unwrap();
    assert_eq!(longer.gateway().keep_audit, std::time::Duration::from_hours(365 * 24));
}

#[test]
fn what_proves_that_a_prompt_was_asked_outlives_it() {
    let table = [
        (
            "TUMA_PROMPTS__LONGEST_S",
            "7776000",
            "messages.keep_days: must be 0, or a day more than prompts.longest_s",
        ),
        (
            "TUMA_PROMPTS__LONGEST_S",
            "2592001",
            "messages.keep_texts_days: must be 0, or as long as prompts.longest_s",
        ),
        ("TUMA_MESSAGES__KEEP_TEXTS_DAYS", "29", "messages.keep_texts_days: must be 0"),
    ];
    for (variable, value, problem) in table {
        let refused = refusal(&[(variable, value)]);
        assert!(refused.contains(problem), "{refused}");
    }
    load(&[("TUMA_MESSAGES__KEEP_DAYS", "0"), ("TUMA_MESSAGES__KEEP_TEXTS_DAYS", "0")]).unwrap();
    load(&[("TUMA_MESSAGES__KEEP_TEXTS_DAYS", "3"), ("TUMA_PROMPTS__LONGEST_S", "259200")]).unwrap();
}

#[test]
fn prompts_ask_back_a_minute_apart_at_least_and_doubt_for_a_day_at_most() {
    let table = [
        ("TUMA_PROMPTS__ASK_AGAIN_AFTER_S", "59", "prompts.ask_again_after_s: must be at least 60"),
        ("TUMA_PROMPTS__DOUBT_S", "86401", "prompts.doubt_s: must be at most 86400"),
    ];
    for (variable, value, problem) in table {
        let refused = refusal(&[(variable, value)]);
        assert!(refused.contains(problem), "{refused}");
    }
}
