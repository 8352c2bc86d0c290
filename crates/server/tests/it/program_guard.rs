//! `tuma guard report`.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::sim::{SimConfig, Simulator};

use crate::app::{KENYAN, text};
use crate::program::Site;

#[tokio::test]
async fn report_shows_what_was_sent_verified_and_suspicious_by_block_and_country() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url()).set("TUMA_GUARD__PREFIX_PER_DAY", "3");
    let key = site.key("sms:send").await;
    let empty = site.run(&["guard", "report"]).await;
    assert_eq!(empty.code, Some(0), "{}", empty.stderr);
    let served = site.serve().await;
    let send = async |receiver: &str| {
        let body = json!({"receiver": receiver, "message": "Your code is 1", "scenario": "otp"});
        let answer = served.request(Method::POST, "/sms").key(&key).json(&body).send().await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        text(&answer.json()["id"])
    };
    for _ in 0..5 {
        send(KENYAN).await;
    }
    let id = send("+256772123456").await;
    let path = format!("/sms/{id}/feedback");
    let said =
        served.request(Method::POST, &path).key(&key).json(&json!({"outcome": "confirmed"})).send().await;
    assert_eq!(said.status, 200);
    // What was counted last is kept when it stops.
    served.terminate().await;

    let shown = site.run(&["guard", "report", "--json"]).await;
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let report: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(report["mode"], "shadow");
    let [kenya, uganda] = report["countries"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!(
        (&kenya["country"], &kenya["sent"], &kenya["suspected"]),
        (&json!("KE"), &json!(3), &json!(2))
    );
    assert_eq!((&kenya["sampled"], &kenya["confirmed"]), (&json!(2), &json!(0)));
    assert_eq!(
        (&uganda["country"], &uganda["sent"], &uganda["verified"]),
        (&json!("UG"), &json!(1), &json!(1))
    );
    let block = &report["prefixes"][0];
    assert_eq!((&block["prefix"], &block["suspected"]), (&json!("+2547123"), &json!(2)));
    assert_eq!(block["now"]["may_be_sent_in_a_day"], 3);

    let shown = site.run(&["guard", "report"]).await;
    let row = shown.stdout.lines().find(|line| line.starts_with("KE +2547123")).unwrap();
    assert!(row.ends_with("3 of 3 sent, 0 of 20 unverified"), "{}", shown.stdout);
    assert!(!shown.stdout.contains("254712345678"), "{}", shown.stdout);
}
