use proptest::prelude::*;

use super::*;

const INVITE: Fits = Fits { invite: true, approval: false };
const APPROVAL: Fits = Fits { invite: false, approval: true };

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn read(text: &str) -> Reading {
    Reading::of(text, &[&reference("WR-12345"), &reference("WR-123"), &reference("umoja-group")])
}

fn says(text: &str) -> Option<Answer> {
    match read(text).says {
        Says::Plainly(answer, _) => Some(answer),
        Says::Nothing | Says::Unclear => None,
    }
}

#[test]
fn words_are_understood_as_people_write_them() {
    for text in [
        "YES",
        "yes",
        " Yes ",
        "yes!",
        "[approve]",
        "APPROVE.",
        "«Approve»",
        "ok",
        "Okay, thanks",
        "Y",
        "accept",
        "NDIO",
        "ndiyo asante sana",
        "Kubali",
        "NAKUBALI",
        "I approve",
        "Hi, yes please",
        "Tafadhali, nakubali",
        "APPROVE\0",
        "Ｙｅｓ",
        "AP\u{200b}PROVE",
        "\u{200f}YES",
        "yes yes yes",
        "approve wr 12345",
        "WR-12345 approve",
    ] {
        assert_eq!(says(text), Some(Answer::Approve), "{text}");
    }
    for text in [
        "NO",
        "no.",
        "n",
        "Nope",
        "Hapana",
        "hapana, asante",
        "kataa",
        "NAKATAA",
        "[reject]",
        "Reject, reject!",
        "DECLINE",
        "I reject this one",
    ] {
        assert_eq!(says(text), Some(Answer::Reject), "{text}");
    }
}

#[test]
fn what_is_taken_back_or_contradicts_itself_is_unclear() {
    for text in [
        "NOT APPROVE",
        "I don't approve",
        "don’t approve WR-12345",
        "sikubali",
        "Sikubaliani",
        "si kubali",
        "usikatae",
        "disapprove",
        "unacceptable",
        "yes no",
        "APPROVE REJECT",
        "approve WR-12345 reject WR-123",
        "yes but later",
        "no problem",
        "what if I approve?",
        "If yes then when",
        "The answer is yes",
        "approval",
        "never reject",
        "NDIO, lakini",
        "ok, reject it",
    ] {
        assert_eq!(read(text).says, Says::Unclear, "{text}");
    }
}

#[test]
fn yes_with_a_word_that_stops_or_accuses_is_unclear() {
    for text in [
        "Ok stop sending me these",
        "Yes remove me",
        "OK acha",
        "Approve WR-12345 stop",
        "Yes, wrong number",
        "YES this is fraud",
        "accept wrong",
        "Ndio, niondoe",
        "approve WR-12345 futa",
    ] {
        assert_eq!(read(text).says, Says::Unclear, "{text}");
    }
    let words = crate::consent::Words::default();
    for word in [words.stop, words.stop_all, words.unsubscribe].concat() {
        assert_eq!(read(&format!("Yes {word}")).says, Says::Unclear, "{word}");
    }
}

#[test]
fn no_objection_is_no_rejection() {
    for text in [
        "No objections WR-12345",
        "no objection",
        "no issues",
        "No issue at all WR-12345",
        "no doubts",
        "no concerns",
        "no complaints",
        "no questions",
        "no reason to reject",
        "Hapana shida",
        "hapana tatizo WR-12345",
    ] {
        assert_eq!(read(text).says, Says::Unclear, "{text}");
    }
    assert_eq!(read("hakuna shida WR-12345").says, Says::Nothing);
}

#[test]
fn what_is_no_answer_says_nothing() {
    for text in [
        "",
        "   ",
        "?!",
        "Hello",
        "What is this?",
        "Asante",
        "WR-12345",
        "👍",
        "اهلا",
        "nobody",
        "yesterday",
        "n y",
    ] {
        assert_eq!(read(text).says, Says::Nothing, "{text}");
    }
}

#[test]
fn lone_yes_is_of_an_invitation_and_approve_of_an_approval() {
    let fits = |text| match read(text).says {
        Says::Plainly(_, fits) => fits,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!((fits("yes"), fits("hapana")), (INVITE, INVITE));
    assert_eq!((fits("approve"), fits("Reject")), (APPROVAL, APPROVAL));
    let both = Fits { invite: true, approval: true };
    assert_eq!((fits("kubali"), fits("yes, approve")), (both, both));
}

#[test]
fn reference_is_found_as_a_whole_however_it_is_typed() {
    for text in [
        "APPROVE WR-12345",
        "approve wr12345",
        "approve Wr 12345",
        "WR-12345: approve",
        "approve #WR-12345",
        "APPROVE-WR-12345",
        "approve WR–12345",
        "approve WR - 12345!",
        "approve wr_12345 thanks",
    ] {
        let reading = read(text);
        assert_eq!((reading.named.as_slice(), reading.names_another), (&[0][..], false), "{text}");
    }
    assert_eq!(read("approve WR-123").named, [1], "the shorter one, though the longer begins alike");
    assert_eq!(read("yes umoja group").named, [2]);
    assert_eq!(read("approve WR-12345 and WR-123").named, [0, 1]);
}

#[test]
fn another_reference_is_not_taken_for_a_known_one() {
    for text in [
        "approve WR-1234",
        "approve WR-123456",
        "approve XWR-12345",
        "approve WR-12345-B",
        "approve A-WR-12345",
        "approve 12345",
        "approve A/12345",
        "approve WR-1 2345 6",
    ] {
        let reading = read(text);
        assert_eq!((reading.named.as_slice(), reading.names_another), (&[][..], true), "{text}");
    }
}

#[test]
fn only_what_people_can_type_and_nobody_says_is_a_reference() {
    for (text, problem) in [
        ("", ReferenceError::Form),
        ("A", ReferenceError::Form),
        ("WR--1", ReferenceError::Form),
        ("-WR1", ReferenceError::Form),
        ("WR 1", ReferenceError::Form),
        ("WR.1", ReferenceError::Form),
        ("WÜ-1", ReferenceError::Form),
        (&"A".repeat(33), ReferenceError::Form),
        ("yes", ReferenceError::Word),
        ("Y-ES", ReferenceError::Word),
        ("preapproved", ReferenceError::Word),
    ] {
        assert_eq!(text.parse::<Reference>().unwrap_err(), problem, "{text}");
    }
    assert_eq!(reference("wr/12345"), reference("WR-12345"));
    assert!(reference("WR-12345").has_digit() && !reference("umoja").has_digit());
}

#[test]
fn a_word_that_takes_an_answer_back_is_no_part_of_a_reference() {
    for (name, text) in [("NOT-1", "NOT 1 YES"), ("NOT1", "not 1, approve"), ("A-BUT", "yes a but")] {
        let reading = Reading::of(text, &[&reference(name)]);
        assert_eq!((reading.says, reading.named), (Says::Unclear, vec![]), "{text}");
    }
}

#[test]
fn a_text_shows_its_reference_also_far_behind() {
    let text = format!("{} Reply APPROVE WR-12345.", "x".repeat(600));
    assert!(reference("wr-12345").is_in(&text));
    assert!(!reference("WR-1234").is_in(&text));
}

proptest! {
    #[test]
    fn nothing_that_anybody_sends_breaks_the_reader(text in "\\PC{0,600}") {
        let _ = read(&text);
    }

    #[test]
    fn case_spaces_and_punctuation_around_a_word_change_nothing(
        before in "[ .,!\\[(\"\\n\\t*]{0,6}",
        after in "[ .,!\\])\"\\n\\t*]{0,6}",
        upper in proptest::collection::vec(any::<bool>(), 8),
        word in prop::sample::select(vec!["approve", "ndiyo", "kubali", "yes", "ok"]),
    ) {
        let mixed: String = word
            .chars()
            .zip(upper.iter().cycle())
            .map(|(letter, upper)| if *upper { letter.to_ascii_uppercase() } else { letter })
            .collect();
        prop_assert_eq!(says(&format!("{before}{mixed}{after}")), Some(Answer::Approve));
    }

    #[test]
    fn a_word_that_denies_never_leaves_an_answer(
        answer in prop::sample::select(vec!["approve", "reject", "yes", "ndio", "kataa"]),
        denial in prop::sample::select(vec!["not", "don't", "never", "si", "sikubali", "but"]),
        behind in any::<bool>(),
    ) {
        let text = if behind { format!("{answer} {denial}") } else { format!("{denial} {answer}") };
        prop_assert_eq!(read(&text).says, Says::Unclear);
    }

    #[test]
    fn no_reference_is_found_in_another(first in "[A-Z]{1,3}-[0-9]{1,5}", second in "[A-Z]{1,3}-[0-9]{1,5}") {
        let (first, second) = (first.parse::<Reference>(), second.parse::<Reference>());
        prop_assume!(first.is_ok() && second.is_ok());
        let (first, second) = (first.unwrap(), second.unwrap());
        prop_assume!(first != second);
        let reading = Reading::of(&format!("approve {second}"), &[&first]);
        prop_assert!(reading.named.is_empty() && reading.names_another);
    }
}
