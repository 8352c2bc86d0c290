use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_795_422_600_123_456);
const DOUBT: Duration = Duration::from_mins(10);

fn minutes(from_now: i64) -> Timestamp {
    Timestamp::from_micros(NOW.as_micros() + from_now * 60_000_000)
}

fn id(number: u8) -> PromptId {
    PromptId::from_bytes([number; 16])
}

/// A withdrawal that was asked about so many minutes ago, and is open.
fn approval(number: u8, asked: i64) -> Candidate {
    Candidate {
        id: id(number),
        kind: Kind::Approval,
        reference: format!("WR-{number}").parse().unwrap(),
        asked_at: Some(minutes(-asked)),
        closes_at: minutes(600),
        closed_at: None,
    }
}

fn invite(number: u8, asked: i64) -> Candidate {
    Candidate {
        kind: Kind::Invite,
        reference: format!("INV-{number}").parse().unwrap(),
        ..approval(number, asked)
    }
}

fn closed(one: Candidate, ago: i64) -> Candidate {
    Candidate { closed_at: Some(minutes(-ago)), ..one }
}

fn bound(text: &str, candidates: &[Candidate]) -> Bound {
    bind(text, NOW, candidates, DOUBT)
}

const YES: fn(u8) -> Bound = |number| Bound::Answers(id(number), Answer::Approve);

#[test]
fn lone_word_counts_where_one_prompt_is_open_and_no_other_was() {
    assert_eq!(bound("approve", &[approval(1, 5)]), YES(1));
    assert_eq!(bound("REJECT", &[approval(1, 5)]), Bound::Answers(id(1), Answer::Reject));
    assert_eq!(bound("Ndio", &[invite(1, 5)]), YES(1));
    assert_eq!(bound("approve", &[approval(1, 5), approval(2, 3)]), Bound::Which);
    assert_eq!(bound("approve", &[]), Bound::Nothing);
}

#[test]
fn named_prompt_is_answered_and_no_other() {
    let two = [approval(1, 5), approval(2, 3)];
    assert_eq!(bound("approve wr-2", &two), YES(2));
    assert_eq!(bound("yes WR-2", &two), YES(2), "with its name, YES will do");
    assert_eq!(bound("approve WR-3", &two), Bound::Which, "nobody was asked about it");
    assert_eq!(bound("approve WR-3", &[approval(1, 5)]), Bound::Which);
    assert_eq!(bound("approve WR-1 WR-2", &two), Bound::Which);
    assert_eq!(bound("WR-2", &two), Bound::Unclear(id(2)));
    assert_eq!(bound("not approve WR-2", &two), Bound::Unclear(id(2)));
}

#[test]
fn named_prompt_that_is_closed_is_answered_too_late_though_another_is_open() {
    let one_open = [closed(approval(1, 5), 1), approval(2, 3)];
    assert_eq!(bound("approve WR-1", &one_open), Bound::TooLate(id(1), Some(Answer::Approve)));
    let over = Candidate { closes_at: minutes(0), ..approval(1, 5) };
    assert_eq!(bound("approve", &[over]), Bound::TooLate(id(1), Some(Answer::Approve)), "not closed yet");
}

#[test]
fn word_of_another_kind_is_asked_about() {
    assert_eq!(bound("yes", &[approval(1, 5)]), Bound::Which);
    assert_eq!(bound("ok", &[approval(1, 5)]), Bound::Which);
    assert_eq!(bound("approve", &[invite(1, 5)]), Bound::Which);
    assert_eq!(bound("kubali", &[approval(1, 5)]), YES(1), "the word that Swahili has for both");
}

#[test]
fn lone_word_is_asked_about_while_it_may_be_meant_for_one_that_has_closed() {
    let after = |ended: i64, asked: i64| [closed(approval(1, 60), ended), approval(2, asked)];
    assert_eq!(bound("approve", &after(3, 5)), Bound::Which, "both were open for two minutes");
    assert_eq!(bound("approve", &after(9, 5)), Bound::Which, "one followed the other closely");
    assert_eq!(bound("approve", &after(30, 5)), YES(2));
    assert_eq!(bound("approve WR-2", &after(3, 5)), YES(2));
}

#[test]
fn nobody_answers_what_was_not_sent_yet() {
    let unsent = Candidate { asked_at: None, ..approval(1, 0) };
    let later = approval(1, -1);
    for not_asked in [unsent, later] {
        assert_eq!(bound("approve", std::slice::from_ref(&not_asked)), Bound::Nothing);
        assert_eq!(bound("approve WR-1", std::slice::from_ref(&not_asked)), Bound::Nothing);
        assert_eq!(bound("approve", &[not_asked, approval(2, 5)]), YES(2));
    }
}

#[test]
fn lone_word_after_the_only_prompt_has_just_closed_is_late_for_that_one() {
    assert_eq!(bound("approve", &[closed(approval(1, 60), 5)]), Bound::TooLate(id(1), Some(Answer::Approve)));
    assert_eq!(bound("approve", &[closed(approval(1, 60), 20)]), Bound::Nothing);
    assert_eq!(bound("yes", &[closed(invite(1, 60), 5), closed(invite(2, 60), 4)]), Bound::Nothing);
}

#[test]
fn name_that_is_used_again_is_of_the_open_prompt() {
    let again = Candidate { id: id(9), ..approval(1, 2) };
    assert_eq!(bound("approve WR-1", &[closed(approval(1, 60), 30), again]), YES(9));
}

#[test]
fn what_is_no_answer_is_left_to_others() {
    assert_eq!(bound("Habari yako?", &[approval(1, 5), approval(2, 5)]), Bound::Nothing);
    assert_eq!(bound("My balance is 500", &[approval(1, 5)]), Bound::Nothing);
    assert_eq!(bound("maybe not approve", &[approval(1, 5)]), Bound::Unclear(id(1)));
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one =
        (any::<bool>(), proptest::option::of(-30_i64..60), -30_i64..60, proptest::option::of(-20_i64..60));
    proptest::collection::vec(one, 0..4).prop_map(|all| {
        let made = all.into_iter().enumerate().map(|(at, (is_invite, asked, closes, closed))| {
            let number = u8::try_from(at).unwrap() + 1;
            let like = if is_invite { invite(number, 0) } else { approval(number, 0) };
            Candidate {
                asked_at: asked.map(|ago| minutes(-ago)),
                closes_at: minutes(closes),
                closed_at: closed.map(|ago| minutes(-ago)),
                ..like
            }
        });
        made.collect()
    })
}

proptest! {
    #[test]
    fn an_answer_is_only_for_what_is_open_and_was_asked(
        all in candidates(),
        word in prop::sample::select(vec!["approve", "reject", "yes", "hapana", "kubali", "not yes"]),
        name in 0_u8..6,
    ) {
        let name = all.get(usize::from(name)).map(|one| one.reference.to_string());
        let text = format!("{word} {}", name.clone().unwrap_or_default());
        if let Bound::Answers(answered, _) = bound(&text, &all) {
            let one = all.iter().find(|one| one.id == answered).unwrap();
            prop_assert!(one.closed_at.is_none() && one.closes_at > NOW);
            prop_assert!(one.asked_at.is_some_and(|asked| asked <= NOW));
            if let Some(name) = name {
                prop_assert_eq!(one.reference.as_str(), name.as_str());
            } else {
                let open = all.iter().filter(|one| one.closed_at.is_none() && one.closes_at > NOW);
                prop_assert_eq!(open.filter(|one| one.asked_at.is_some_and(|asked| asked <= NOW)).count(), 1);
            }
        }
    }
}
