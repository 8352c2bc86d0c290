//! `tuma explain`.

use reqwest::Method;
use testkit::sim::{SimConfig, Simulator};

use crate::app::KENYAN;
use crate::program::Site;

async fn site() -> (Simulator, Site) {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url()).set("RUST_LOG", "warn");
    (sim, site)
}

#[tokio::test]
async fn says_what_would_become_of_a_message_without_a_gateway_or_a_database() {
    let (sim, site) = site().await;
    let explained = site.run(&["explain", "0712 345 678", "Don’t panic", "--scenario", "otp"]).await;
    assert_eq!(explained.code, Some(0), "{}", explained.stderr);
    let expected = [
        "receiver  +254712345678, KE",
        "scenario  otp, lane high",
        "text      11 characters, ucs2, 1 segment",
        "          '’' at 3 makes it travel as ucs2",
        "leaves    at once",
    ];
    let lines: Vec<&str> = explained.stdout.lines().collect();
    assert_eq!(lines[..5], expected, "{}", explained.stdout);
    assert!(lines[5].starts_with("expires   20"), "{}", explained.stdout);
    let routes = [
        "routes",
        "  1. africastalking: rule 1 matches; usable; USD 0.02 <- taken",
        "  2. twilio: default provider; usable; USD 0.10",
    ];
    assert_eq!(lines[6..], routes);
    let as_one_of_many = site.run(&["explain", KENYAN, "Habari", "--bulk"]).await;
    assert!(as_one_of_many.stdout.contains("scenario  general, lane bulk"), "{}", as_one_of_many.stdout);
    assert!(site.files().iter().all(|file| !file.contains(".db")), "{:?}", site.files());
    assert_eq!(sim.ledger().count(), 0);
}

#[tokio::test]
async fn knows_which_providers_are_drained() {
    let (_sim, site) = site().await;
    let site = site.set("RUST_LOG", "info");
    let admin = site.key("admin").await;
    let served = site.serve().await;
    let drain = served.request(Method::POST, "/providers/africastalking/drain").key(&admin);
    assert_eq!(drain.send().await.status, 200);
    let explained = site.run(&["explain", KENYAN, "Habari"]).await;
    assert_eq!(explained.code, Some(0), "{}", explained.stderr);
    let routes: Vec<&str> = explained.stdout.lines().skip_while(|line| *line != "routes").skip(1).collect();
    assert!(routes[0].contains("africastalking") && routes[0].contains("drained since"), "{routes:?}");
    assert!(routes[1].contains("twilio") && routes[1].ends_with("<- taken"), "{routes:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_message_is_said_and_fails() {
    let (_sim, site) = site().await;
    let refused = site.run(&["explain", "12345", "Habari", "--scenario", "marketing"]).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert!(refused.stderr.contains("receiver is too short for a phone number"), "{}", refused.stderr);
    assert!(refused.stderr.contains("scenario unknown scenario"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("12345"), "{}", refused.stderr);
}
