use proptest::prelude::*;

use super::*;

fn outcome(policy: Policy, veto: bool, asked: u32, approve: u32, reject: u32) -> Option<Outcome> {
    let answers = [(Answer::Approve, approve), (Answer::Reject, reject)];
    let answers = answers.into_iter().flat_map(|(answer, times)| (0..times).map(move |_| answer));
    Tally::of(policy, asked, answers).outcome(policy, veto)
}

#[test]
fn each_policy_ends_as_it_says() {
    use Outcome::{Approved, Rejected};
    let cases = [
        (Policy::Any, false, 3, 0, 0, None),
        (Policy::Any, false, 3, 1, 0, Some(Approved)),
        (Policy::Any, false, 3, 0, 2, None),
        (Policy::Any, false, 3, 0, 3, Some(Rejected)),
        (Policy::Any, true, 3, 0, 1, Some(Rejected)),
        (Policy::All, false, 3, 2, 0, None),
        (Policy::All, false, 3, 3, 0, Some(Approved)),
        // Whoever rejects may think again until all have answered.
        (Policy::All, false, 3, 1, 1, None),
        (Policy::All, false, 3, 2, 1, Some(Rejected)),
        (Policy::All, true, 3, 1, 1, Some(Rejected)),
        (Policy::AtLeast(2), false, 3, 1, 0, None),
        (Policy::AtLeast(2), false, 3, 2, 0, Some(Approved)),
        (Policy::AtLeast(2), false, 3, 1, 1, None),
        (Policy::AtLeast(2), false, 3, 0, 2, Some(Rejected)),
        (Policy::AtLeast(2), true, 3, 1, 1, Some(Rejected)),
    ];
    for (policy, veto, asked, approve, reject, expected) in cases {
        let found = outcome(policy, veto, asked, approve, reject);
        assert_eq!(found, expected, "{policy} of {asked}, veto {veto}: {approve} and {reject}");
    }
}

#[test]
fn policy_reads_back_from_its_word() {
    for policy in [Policy::Any, Policy::All, Policy::AtLeast(2)] {
        assert_eq!(policy.to_string().parse(), Ok(policy));
    }
    for wrong in ["", "0", "-1", "some"] {
        assert_eq!(wrong.parse::<Policy>(), Err(PolicyError));
    }
}

fn policies() -> impl Strategy<Value = Policy> {
    prop_oneof![Just(Policy::Any), Just(Policy::All), (1_u32..6).prop_map(Policy::AtLeast)]
}

proptest! {
    #[test]
    fn a_prompt_ends_when_everybody_has_answered(policy in policies(), veto: bool, approve in 0_u32..8, reject in 0_u32..8) {
        let asked = approve + reject;
        prop_assume!(asked > 0 && policy.needs(asked) <= asked);
        prop_assert!(outcome(policy, veto, asked, approve, reject).is_some());
    }

    #[test]
    fn it_is_approved_only_by_as_many_as_the_policy_needs(
        policy in policies(), veto: bool, asked in 1_u32..8, approve in 0_u32..8, reject in 0_u32..8,
    ) {
        prop_assume!(approve + reject <= asked);
        if outcome(policy, veto, asked, approve, reject) == Some(Outcome::Approved) {
            prop_assert!(approve >= policy.needs(asked));
            prop_assert!(!veto || reject == 0);
        }
    }

    #[test]
    fn silence_never_ends_it(policy in policies(), veto: bool, asked in 1_u32..8) {
        prop_assume!(policy.needs(asked) <= asked);
        prop_assert_eq!(outcome(policy, veto, asked, 0, 0), None);
    }
}
