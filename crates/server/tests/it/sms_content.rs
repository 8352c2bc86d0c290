//! Texts that hold what no text may.

use serde_json::{Value, json};

use crate::app::{KENYAN, TestApp};

const CARD: &str = "Card 4111 1111 1111 1111 was charged";

fn message(text: &str, scenario: &str) -> Value {
    json!({"receiver": KENYAN, "message": text, "scenario": scenario})
}

#[tokio::test]
async fn what_opens_an_account_is_refused_with_the_rule_and_without_the_text() {
    let app = TestApp::start().await;
    let hash = format!("Tx {}", "c0ffee42".repeat(8));
    let table = [
        (CARD, "card_number"),
        ("Password: hunter22", "password"),
        ("Nywila yako ni Simba2026", "password"),
        ("Your PIN is 4821", "pin"),
        (&hash, "transaction_id"),
    ];
    for (text, rule) in table {
        let refused = app.post("/sms", &message(text, "transaction")).await;
        assert_eq!(
            refused.wrong_fields(),
            [("/message".to_owned(), "sensitive_content".to_owned())],
            "{text}"
        );
        assert!(refused.text.contains(rule), "{}", refused.text);
        assert!(!refused.text.contains(text), "{}", refused.text);
        let bulk = json!({"receivers": [KENYAN], "message": text});
        let refused = app.post("/sms/bulk", &bulk).await;
        assert_eq!(
            refused.wrong_fields(),
            [("/message".to_owned(), "sensitive_content".to_owned())],
            "{text}"
        );
    }
    assert_eq!(app.count().await, 0);
    let figures = app.metrics().await;
    assert!(figures.contains("sms_refused_count_total{code=\"sensitive_content\"} 10"), "{figures}");
}

#[tokio::test]
async fn one_time_codes_and_receipts_of_money_are_sent() {
    let app = TestApp::start().await;
    for (text, scenario) in [
        ("Your one-time PIN is 482913", "otp"),
        ("One-time password: 482913", "otp"),
        (
            "SFF6XYZ1KD Confirmed. Ksh1,500.00 sent to JANE 0712345678. New balance is Ksh4,200.00",
            "transaction",
        ),
        ("Umepokea KES 1500 kutoka 254712345678. Usimpe mtu PIN wala nywila yako", "transaction"),
    ] {
        app.accepted(&message(text, scenario)).await;
    }
}

#[tokio::test]
async fn settings_allow_a_rule_and_add_others() {
    let own = r#"[{name = "loan_number", pattern = '\bLN-[0-9]{6}\b'}]"#;
    let app = TestApp::setup()
        .set("TUMA_CONTENT__CARD_NUMBER", "allow")
        .set("TUMA_CONTENT__OWN", own)
        .start()
        .await;
    app.accepted(&message(CARD, "transaction")).await;
    let refused = app.post("/sms", &message("Loan LN-482913 is due", "general")).await;
    assert_eq!(refused.wrong_fields(), [("/message".to_owned(), "sensitive_content".to_owned())]);
    assert!(refused.text.contains("loan_number"), "{}", refused.text);
}
