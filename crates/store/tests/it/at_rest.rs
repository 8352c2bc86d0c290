//! What whoever gets hold of a database finds in it: no number, no text, no callback as it came.

use std::fmt::Write as _;

use domain::consent::Keyword;
use domain::receipt::ReceiptStatus;
use domain::scenario::Scenario;
use domain::secret::Body;
use store::port::messages::NewMessage;
use store::port::receipts::NewReceipt;

use crate::conformance::inbound::from_phone;
use crate::conformance::prompts::{approval, ask, hear, said};
use crate::support::{
    Bench, Fixture, MINUTE, NOW, PostgresFixture, SqliteFixture, With as _, message, receipt_by, receipt_for,
    receiver,
};

const TEXT: &str = "Nambari yako ni 739154, Wanjiku";
const CALLBACK: &[u8] = b"phoneNumber=%2B254712000001&status=Success";

/// Texts and numbers in every form in which a row could have them.
fn needles() -> Vec<Vec<u8>> {
    let number = receiver(1).number();
    let texts = [TEXT, "739154", "Wanjiku", "712000001", "phoneNumber"];
    let mut needles: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    // SQLite writes an integer of this size in six bytes.
    needles.extend([number.to_be_bytes()[2..].to_vec(), number.to_le_bytes()[..6].to_vec()]);
    needles
}

fn code() -> NewMessage {
    message(1).with(|message| {
        message.scenario = Scenario::Otp;
        message.body = Body::new(TEXT);
    })
}

async fn fill<F: Fixture>(bench: &Bench<F>) {
    let id = bench.add_and_send(code(), "SM1").await;
    let receipts = [
        receipt_for(id, ReceiptStatus::Delivered),
        // Parked, by number.
        receipt_by("SM9", receiver(1), ReceiptStatus::Delivered),
    ];
    let new = receipts.map(|receipt| NewReceipt { receipt, raw: CALLBACK.to_vec() }).to_vec();
    bench.record_receipts(new).await.unwrap();
    // In doubt, so that a watch names the receiver too.
    bench.add_and_doubt(message(2).with(|message| message.receiver = receiver(1))).await;
    let waiting = message(3).with(|message| message.receiver = receiver(1));
    bench.add([waiting]).await;
    let prompt = ask(&**bench, approval(1, 1, NOW)).await;
    hear(&**bench, said(1, 1, &format!("Approve WR-1, {TEXT}"), NOW.plus(MINUTE))).await;
    assert_eq!(bench.prompt(prompt).await.unwrap().unwrap().replies.len(), 1);
    let mut from_phone = from_phone(1, TEXT, Some(Keyword::Stop));
    from_phone.raw = CALLBACK.to_vec();
    bench.receive_inbound(from_phone).await.unwrap();
    assert_eq!(bench.show(id).await.summary.message.body, Body::new(TEXT));
    assert_eq!(bench.show(id).await.receipts[0].raw, CALLBACK);
}

#[tokio::test]
async fn sqlite_files_and_their_log_hold_no_number_and_no_text() {
    let bench = Bench::<SqliteFixture>::new().await;
    fill(&bench).await;
    let folder = bench.fixture.path().parent().unwrap().to_owned();
    // While it is open: the log has all that was written.
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for needle in needles() {
            let found = bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!found, "{path:?} has {:?}", String::from_utf8_lossy(&needle));
        }
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    assert!(names.iter().any(|name| name.ends_with("-wal")), "{names:?}");
    bench.close().await;
}

#[tokio::test]
async fn postgresql_tables_hold_no_number_and_no_text() {
    let bench = Bench::<PostgresFixture>::new().await;
    fill(&bench).await;
    for table in [
        "messages",
        "states",
        "attempts",
        "callbacks",
        "watches",
        "queue",
        "outbox",
        "events",
        "prompts",
        "prompt_receivers",
        "prompt_replies",
        "idempotency",
        "progress",
    ] {
        for needle in needles() {
            let hex = needle.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            let as_text = String::from_utf8_lossy(&needle).replace(['\'', '\0'], "");
            let as_number = receiver(1).number();
            let sql = format!(
                "SELECT count(*) FROM {table} t WHERE t::text LIKE '%{hex}%' OR t::text LIKE '%{as_number}%' \
                 OR position('{as_text}' IN t::text) > 0"
            );
            let sql = if as_text.chars().all(|character| character.is_ascii_graphic() || character == ' ') {
                sql
            } else {
                format!("SELECT count(*) FROM {table} t WHERE t::text LIKE '%{hex}%'")
            };
            assert_eq!(bench.fixture.counts(vec![sql]), [0], "{table} has {as_text:?}");
        }
    }
}
