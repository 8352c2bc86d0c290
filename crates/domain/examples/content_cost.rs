//! What the content rules cost: the time of one look at a text, beside that of what is done to each text anyway.
//!
//! `cargo run --release -p domain --example content_cost`; the ratio is what counts.

use std::hint::black_box;
use std::time::Instant;

use domain::content::ContentRules;
use domain::encoding;
use domain::scenario::Scenario;
use sha2::{Digest as _, Sha256};

const TIMES: u32 = 50_000;

/// Texts as they are sent, and the longest that can be.
fn texts() -> Vec<(&'static str, String)> {
    let receipt = "SFF6XYZ1KD Confirmed. Ksh1,500.00 sent to JANE WANJIKU 0712345678 on 23/11/26 at 8:30 AM. New M-PESA \
                   balance is Ksh4,200.00. Transaction cost, Ksh15.00.";
    vec![
        ("a code", "Your Tuma code is 482913. It is good for 5 minutes.".to_owned()),
        ("a receipt", receipt.to_owned()),
        ("a warning", "Usimpe mtu nywila wala PIN yako. Never share your password with anyone.".to_owned()),
        ("with emoji", "Karibu chama chetu 👍 Mchango ni KES 1500 kila mwezi, tarehe 5".to_owned()),
        ("1530 characters", receipt.chars().cycle().take(1_530).collect()),
    ]
}

/// Nanoseconds for one call.
#[expect(clippy::disallowed_methods, reason = "it measures, and decides nothing")]
fn nanoseconds(mut call: impl FnMut()) -> f64 {
    (0..TIMES / 10).for_each(|_| call());
    let start = Instant::now();
    (0..TIMES).for_each(|_| call());
    start.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
}

#[expect(clippy::print_stdout, reason = "an example says what it found")]
fn main() {
    let rules = ContentRules::default();
    println!("{:<18}{:>10}{:>14}{:>8}", "text", "rules ns", "the rest ns", "ratio");
    for (name, text) in texts() {
        let look = nanoseconds(|| _ = black_box(rules.broken_by(black_box(&text), Scenario::General)));
        // Normalizing, measuring and the fingerprint: each text is read so often before it is stored.
        let rest = nanoseconds(|| {
            let text = encoding::to_nfc(black_box(&text));
            black_box(encoding::measure(&text));
            black_box(Sha256::digest(text.as_bytes()));
        });
        println!("{name:<18}{look:>10.0}{rest:>14.0}{:>8.2}", look / rest);
    }
}
