//! Templates and their versions.

use std::time::Duration;

use domain::audit::{Act, Actor};
use store::port::audit::{AuditFilter, AuditPage};
use store::port::templates::{Draft, InForce, Publish};

use crate::support::{Bench, Fixture, NOW, SECOND, With, caller, message, operator};

fn act(at: Duration) -> Act {
    Act { by: Actor::Key(caller(1)), at: NOW.plus(at) }
}

fn draft(name: &str, definition: &str) -> Draft {
    Draft { name: name.into(), definition: definition.into(), act: act(SECOND) }
}

fn publish(name: &str, version: Option<u32>) -> Publish {
    Publish { name: name.into(), version, act: act(SECOND * 2) }
}

pub(crate) async fn versions_are_numbered_and_none_is_in_force_before_it_is_published<F: Fixture>(
    bench: Bench<F>,
) {
    assert_eq!(bench.draft_template(draft("otp", "{\"a\": \"é\"}")).await, Ok(1));
    assert_eq!(bench.draft_template(draft("otp", "{\"b\": 1}")).await, Ok(2));
    assert_eq!(bench.draft_template(draft("invite", "{}")).await, Ok(1));
    assert_eq!(bench.templates_in_force().await, Ok(vec![]));
    assert_eq!(bench.publish_template(publish("otp", None)).await, Ok(Some(2)));
    assert_eq!(bench.publish_template(publish("otp", Some(3))).await, Ok(None));
    assert_eq!(bench.publish_template(publish("other", None)).await, Ok(None));
    let kept = bench.templates().await.unwrap();
    let names: Vec<_> = kept.iter().map(|kept| (kept.name.as_str(), kept.version)).collect();
    assert_eq!(names, [("invite", 1), ("otp", 1), ("otp", 2)]);
    assert_eq!((kept[1].definition.as_str(), kept[1].published_at), ("{\"a\": \"é\"}", None));
    assert_eq!(kept[2].created_at, NOW.plus(SECOND));
    assert_eq!(kept[2].published_at, Some(NOW.plus(SECOND * 2)));
    let by = Some(caller(1).to_string());
    assert_eq!((Some(&kept[2].created_by), &kept[2].published_by), (by.as_ref(), &by));
}

pub(crate) async fn version_published_last_is_in_force_also_if_it_is_an_older_one<F: Fixture>(
    bench: Bench<F>,
) {
    for definition in ["{}", "{\"b\": 1}"] {
        bench.draft_template(draft("otp", definition)).await.unwrap();
    }
    let in_force = async || bench.templates_in_force().await.unwrap();
    bench.publish_template(publish("otp", Some(2))).await.unwrap();
    let second = InForce { name: "otp".into(), version: 2, since: NOW.plus(SECOND * 2) };
    assert_eq!(in_force().await, std::slice::from_ref(&second));
    // At the same moment, or by a clock that is behind: what was done last counts.
    bench.publish_template(publish("otp", Some(1))).await.unwrap();
    let after = NOW.plus(SECOND * 2 + Duration::from_micros(1));
    assert_eq!(in_force().await, [InForce { version: 1, since: after, ..second }]);
}

pub(crate) async fn template_taken_out_of_use_is_kept_and_its_numbers_are_not_used_again<F: Fixture>(
    bench: Bench<F>,
) {
    bench.draft_template(draft("otp", "{}")).await.unwrap();
    bench.publish_template(publish("otp", None)).await.unwrap();
    assert_eq!(bench.retire_template("otp".into(), operator(NOW.plus(SECOND * 3))).await, Ok(true));
    assert_eq!(bench.retire_template("otp".into(), operator(NOW.plus(SECOND * 4))).await, Ok(false));
    assert_eq!(bench.templates_in_force().await, Ok(vec![]));
    assert_eq!(bench.templates().await, Ok(vec![]));
    assert_eq!(bench.publish_template(publish("otp", Some(1))).await, Ok(None));
    assert_eq!(bench.template("otp".into()).await.unwrap()[0].retired_at, Some(NOW.plus(SECOND * 3)));
    assert_eq!(bench.draft_template(draft("otp", "{}")).await, Ok(2));
    bench.publish_template(publish("otp", None)).await.unwrap();
    assert_eq!(bench.templates_in_force().await.unwrap()[0].version, 2);
}

pub(crate) async fn message_keeps_what_its_text_was_made_of<F: Fixture>(bench: Bench<F>) {
    let used = "otp@3/sw-KE/1".parse().unwrap();
    let made = message(1).with(|message| message.template = Some(used));
    bench.add([made.clone(), message(2)]).await;
    let kept = bench.message(made.message.id).await.unwrap().unwrap();
    assert_eq!(kept.summary.message.template, made.message.template);
    assert_eq!(bench.message(message(2).message.id).await.unwrap().unwrap().summary.message.template, None);
}

pub(crate) async fn changes_of_templates_have_entries<F: Fixture>(bench: Bench<F>) {
    bench.draft_template(draft("otp", "{}")).await.unwrap();
    bench.publish_template(publish("otp", None)).await.unwrap();
    bench.publish_template(publish("otp", Some(9))).await.unwrap();
    bench.retire_template("otp".into(), operator(NOW.plus(SECOND * 3))).await.unwrap();
    let entries = bench.audit(AuditFilter::default(), AuditPage { after: None, limit: 100 }).await.unwrap();
    let told = entries.iter().rev().map(|entry| (entry.event.as_ref(), entry.subject.as_deref()));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ("template.drafted", Some("otp@1")),
            ("template.published", Some("otp@1")),
            ("template.deleted", Some("otp")),
        ]
    );
}
