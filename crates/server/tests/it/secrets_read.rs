//! Where a secret may stand: in the environment, in a file, in the settings file, in a store.

use std::path::PathBuf;

use domain::secret::ExposeSecret as _;
use providers::REGISTRY;
use server::config::{Config, Source};
use tempfile::TempDir;

/// A folder with files of one secret each.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn load(environment: &[(&str, &str)]) -> Result<Config, String> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(None, environment).map_err(|problem| problem.to_string())
}

fn value(config: &Config, key: &str) -> String {
    config.held.value(key).unwrap_or_else(|| panic!("{key} is not known")).expose_secret().to_owned()
}

#[test]
fn every_secret_can_stand_in_a_file_that_its_variable_names() {
    let folder = Folder::new();
    let own = ["database_url", "broker.password", "broker.token", "broker.api_key", "secrets.vault.token"];
    let own = own.iter().map(|key| (*key).to_owned());
    let of_providers = REGISTRY.iter().flat_map(|provider| {
        let keys = provider.secrets.iter().chain(provider.identities);
        keys.map(|key| format!("providers.{}.{key}", provider.name))
    });
    for key in own.chain(of_providers) {
        let variable = format!("TUMA_{}_FILE", key.to_uppercase().replace('.', "__"));
        let path = folder.file("secret", "hunter2\n");
        let config = load(&[(&variable, &path)]).unwrap();
        assert_eq!(value(&config, &key), "hunter2", "{variable}");
        let held = config.held.get(&key).unwrap();
        assert_eq!(held.source, Source::File { path: path.into(), variable });
        assert!(held.fetched.as_ref().unwrap().created_at.is_some());
    }
}

#[test]
fn variables_with_names_of_their_own_have_files_too() {
    let folder = Folder::new();
    let path = folder.file("token", "0123456789abcdef0123456789abcdef\r\n");
    for provider in REGISTRY {
        for (variable, key) in provider.environment {
            let may = provider.secrets.contains(key) || provider.identities.contains(key);
            let variable = format!("{variable}_FILE");
            let config = load(&[(&variable, &path)]).unwrap();
            let held = config.held.value(&format!("providers.{}.{key}", provider.name));
            assert_eq!(held.is_some(), may, "{variable}");
        }
    }
}

#[test]
fn only_the_last_end_of_line_is_cut() {
    let folder = Folder::new();
    for (content, expected) in [("a b", "a b"), ("a\n\n", "a\n"), ("a\r\n", "a"), (" a ", " a ")] {
        let path = folder.file("secret", content);
        let config = load(&[("TUMA_BROKER__PASSWORD_FILE", &path)]).unwrap();
        assert_eq!(value(&config, "broker.password"), expected);
        assert_eq!(config.broker.password.get().unwrap().expose_secret(), expected);
    }
}

#[test]
fn what_a_file_holds_is_never_the_name_of_another_place() {
    let folder = Folder::new();
    let path = folder.file("secret", "vault:secret/tuma#password");
    let config = load(&[("TUMA_BROKER__PASSWORD_FILE", &path)]).unwrap();
    assert_eq!(value(&config, "broker.password"), "vault:secret/tuma#password");
}

#[test]
fn a_file_that_can_not_be_a_secret_is_named_with_its_setting() {
    let folder = Folder::new();
    let table = [
        ("/nowhere/secret".to_owned(), "can't be read"),
        (folder.file("empty", "\n"), "is empty"),
        (folder.file("large", "hunter2".repeat(20_000)), "larger"),
        (folder.file("binary", b"hunter2\xff"), "UTF-8"),
    ];
    for (path, expected) in table {
        let problem = load(&[("SMS_AT_API_KEY_FILE", &path)]).unwrap_err();
        for part in [expected, &path, "providers.africastalking.api_key"] {
            assert!(problem.contains(part), "{problem}");
        }
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn two_variables_for_one_secret_are_refused_by_name() {
    let folder = Folder::new();
    let path = folder.file("secret", "hunter3");
    let problem = load(&[("TWILIO_AUTH_TOKEN", "hunter2"), ("TWILIO_AUTH_TOKEN_FILE", &path)]).unwrap_err();
    assert!(problem.contains("TWILIO_AUTH_TOKEN and TWILIO_AUTH_TOKEN_FILE are both set"), "{problem}");
    assert!(!problem.contains("hunter"), "{problem}");
    // An empty one is not set, as files of variables have it.
    let config = load(&[("TWILIO_AUTH_TOKEN", ""), ("TWILIO_AUTH_TOKEN_FILE", &path)]).unwrap();
    assert_eq!(value(&config, "providers.twilio.auth_token"), "hunter3");
    let config = load(&[("TWILIO_AUTH_TOKEN", "hunter2"), ("TWILIO_AUTH_TOKEN_FILE", "")]).unwrap();
    assert_eq!(value(&config, "providers.twilio.auth_token"), "hunter2");
}

#[test]
fn a_file_or_the_environment_wins_over_the_settings_file() {
    let folder = Folder::new();
    let settings = folder.file("tuma.toml", "[broker]\npassword = \"hunter1\"\ntoken = \"hunter1\"\n");
    let path = folder.file("secret", "hunter2");
    let environment = [
        ("TUMA_BROKER__PASSWORD_FILE".to_owned(), path),
        ("TUMA_LISTEN".to_owned(), "127.0.0.1:1".to_owned()),
    ];
    let config = Config::load(Some(settings.as_ref()), environment).unwrap();
    assert_eq!(value(&config, "broker.password"), "hunter2");
    assert_eq!(value(&config, "broker.token"), "hunter1");
    assert_eq!(config.held.get("broker.token").unwrap().source, Source::SettingsFile);
    assert!(!format!("{config:?}").contains("hunter"), "{config:?}");
}

#[test]
fn a_text_that_begins_like_the_name_of_a_place_and_is_none_is_refused() {
    let wrong = [
        "vault:",
        "vault:secret#field",
        "vault:secret/#field",
        "vault:secret/tuma",
        "vault:secret/tuma#",
        "vault:secret/../sys#field",
        "vault:secret//tuma#field",
        "vault:secret/tuma?version=1#field",
        "aws:",
        "aws:#field",
        "aws:tuma#",
        "aws:two words",
    ];
    for text in wrong {
        let problem = load(&[("SMS_AT_API_KEY", text)]).unwrap_err();
        assert!(
            problem.starts_with("setting providers.africastalking.api_key: expected "),
            "{text}: {problem}"
        );
        assert!(!problem.contains(text) || text.len() < 7, "{problem}");
    }
}

#[test]
fn what_opens_a_store_can_not_come_from_one() {
    let problem = load(&[("TUMA_SECRETS__VAULT__TOKEN", "aws:vault/token")]).unwrap_err();
    assert_eq!(problem, "setting secrets.vault.token: opens a store, and can't come from one");
}

#[test]
fn settings_of_stores_that_can_not_be_are_refused() {
    let table: [(&[(&str, &str)], &str); 6] = [
        (&[("TUMA_SECRETS__VAULT__ADDRESS", "http://vault.example.co.ke:8200")], "secrets.vault.address"),
        (
            &[("TUMA_SECRETS__VAULT__ADDRESS", "https://u:hunter2@vault.example.co.ke")],
            "secrets.vault.address",
        ),
        (&[("TUMA_SECRETS__VAULT__ROLE_ID", "hunter2")], "secrets.vault.role_id"),
        (&[("TUMA_SECRETS__REFRESH_S", "1")], "secrets.refresh_s"),
        (&[("TUMA_SECRETS__AWS__ENDPOINT", "http://10.0.0.1")], "secrets.aws.endpoint"),
        (
            &[
                ("TUMA_SECRETS__VAULT__TOKEN", "hunter2"),
                ("TUMA_SECRETS__VAULT__ROLE_ID", "hunter2"),
                ("TUMA_SECRETS__VAULT__SECRET_ID", "hunter2"),
            ],
            "secrets.vault.token",
        ),
    ];
    for (environment, key) in table {
        let problem = load(environment).unwrap_err();
        assert!(problem.contains(key) && !problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn a_database_whose_address_is_in_a_store_is_not_the_default_one() {
    let config =
        load(&[("TUMA_DATABASE_URL", "vault:secret/tuma#database_url"), ("TUMA_ROLES", "api")]).unwrap();
    assert!(config.database_url.is_shared());
    assert_eq!(config.held.first_not_fetched(), Some("database_url"));
}
