//! A chain of the audit trail, made at random and changed at random.

use domain::audit::{
    Actor, AuditKeys, Broken, ChainCheck, Entry, Event, Expected, Fault, Forgotten, Head, Kept, NewEntry,
    Part, Place, Sealed,
};
use domain::ids::{KeyId, MessageId};
use domain::secret::Key;
use domain::time::Timestamp;
use proptest::prelude::*;

const NOW: i64 = 1_795_422_600_000_000;

fn keys() -> AuditKeys {
    AuditKeys::new(&Key::new([7; 32]))
}

prop_compose! {
    fn entry()(
        at in NOW - 1_000_000..NOW + 1_000_000,
        event in prop::sample::select(Event::ALL),
        actor in prop::sample::select(vec![
            Actor::System,
            Actor::Operator,
            Actor::Provider("acme".parse().unwrap()),
            Actor::Key(KeyId::new(Timestamp::from_micros(NOW), [1; 10])),
        ]),
        message in prop::option::of(any::<[u8; 10]>()),
        receiver in prop::option::of(any::<i64>()),
        length in prop::option::of(any::<u32>()),
        segments in prop::option::of(any::<u16>()),
        outcome in prop::option::of(prop::sample::select(vec!["queued", "expired"])),
        subject in prop::option::of("[a-z.]{0,12}"),
    ) -> NewEntry {
        NewEntry {
            message_id: message.map(|entropy| MessageId::new(Timestamp::from_micros(at), entropy)),
            receiver,
            length,
            segments,
            outcome,
            subject,
            ..NewEntry::new(Timestamp::from_micros(at), actor, event)
        }
    }
}

/// A chain of these, with the head that it ends with.
fn chained(new: Vec<NewEntry>) -> (Vec<Entry>, Head) {
    let mut head = Head::new(3);
    let entries = new.into_iter().map(|new| head.extend(new)).collect();
    (entries, head)
}

fn kept(entry: &Entry) -> Kept {
    Kept { chain: entry.chain, seq: entry.seq, at: entry.at, entry: Some(entry.clone()) }
}

/// Follows a chain in parts.
fn check(head: &Sealed, entries: &[Entry], expected: Expected, part: usize) -> Result<i64, Broken> {
    let keys = keys();
    let mut check = ChainCheck::new(&keys, 3, expected);
    loop {
        let behind = check.seq();
        let rest: Vec<Kept> =
            entries.iter().filter(|entry| entry.seq > behind).take(part).map(kept).collect();
        let is_last = rest.len() < part;
        check.see(&Part { head: Some(head.clone()), entries: rest, is_last })?;
        if is_last {
            return Ok(check.seq());
        }
    }
}

fn at(seq: usize) -> Place {
    Place::Entry { chain: 3, seq: i64::try_from(seq).unwrap() + 1 }
}

proptest! {
    #[test]
    fn chain_holds_in_parts_of_any_size(new in prop::collection::vec(entry(), 0..40), part in 1_usize..50) {
        let (entries, head) = chained(new);
        prop_assert!(entries.is_sorted_by_key(|entry| entry.at));
        prop_assert_eq!(check(&keys().seal(&head), &entries, Expected::new(), part), Ok(head.seq));
    }

    #[test]
    fn first_entry_that_was_changed_is_named(
        new in prop::collection::vec(entry(), 1..40),
        which in any::<prop::sample::Index>(),
        field in 0..9,
        part in 1_usize..50,
    ) {
        let (mut entries, head) = chained(new);
        let place = which.index(entries.len());
        let entry = &mut entries[place];
        let before = entry.clone();
        match field {
            0 => entry.at = entry.at.plus(std::time::Duration::from_micros(1)),
            1 => entry.actor.push('x'),
            2 => entry.event = "sms.none".into(),
            3 => entry.receiver = entry.receiver.map_or(Some(0), |_| None),
            4 => entry.length = entry.length.map_or(Some(0), |_| None),
            5 => entry.segments = entry.segments.map_or(Some(0), |_| None),
            6 => entry.outcome = entry.outcome.take().map_or(Some("".into()), |_| None),
            7 => entry.provider = entry.provider.take().map_or(Some(String::new()), |_| None),
            _ => entry.hash[31] ^= 1,
        }
        prop_assert_ne!(&before, &entries[place]);
        let broken = check(&keys().seal(&head), &entries, Expected::new(), part).unwrap_err();
        prop_assert_eq!((broken.place, broken.fault), (at(place), Fault::Content));
    }

    #[test]
    fn first_entry_that_was_taken_out_is_named(
        new in prop::collection::vec(entry(), 1..40),
        first in any::<prop::sample::Index>(),
        count in 1_usize..12,
        part in 1_usize..50,
    ) {
        let (mut entries, head) = chained(new);
        let first = first.index(entries.len());
        let end = (first + count).min(entries.len());
        let fault = if end == entries.len() { Fault::TailCut } else { Fault::Missing };
        entries.drain(first..end);
        let broken = check(&keys().seal(&head), &entries, Expected::new(), part).unwrap_err();
        prop_assert_eq!((broken.place, broken.fault), (at(first), fault));
    }

    #[test]
    fn first_of_two_entries_that_were_swapped_is_named(
        new in prop::collection::vec(entry(), 2..40),
        one in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
    ) {
        let (mut entries, head) = chained(new);
        let (one, other) = (one.index(entries.len()), other.index(entries.len()));
        prop_assume!(one != other);
        let seqs = (entries[one].seq, entries[other].seq);
        entries.swap(one, other);
        (entries[one].seq, entries[other].seq) = seqs;
        let broken = check(&keys().seal(&head), &entries, Expected::new(), 100).unwrap_err();
        prop_assert_eq!((broken.place, broken.fault), (at(one.min(other)), Fault::Order));
    }

    #[test]
    fn head_that_was_put_back_or_made_up_is_noticed(
        new in prop::collection::vec(entry(), 2..40),
        kept in any::<prop::sample::Index>(),
    ) {
        let kept = kept.index(new.len() - 1);
        let (_, earlier) = chained(new[..kept].to_vec());
        let (entries, head) = chained(new);
        let broken = check(&keys().seal(&earlier), &entries, Expected::new(), 7).unwrap_err();
        prop_assert_eq!((broken.place, broken.fault), (at(kept), Fault::BehindHead));
        let made_up = Sealed { head: Head { seq: head.seq + 1, ..head.clone() }, code: keys().seal(&head).code };
        let broken = check(&made_up, &entries, Expected::new(), 7).unwrap_err();
        prop_assert_eq!((broken.place, broken.fault), (Place::Head { chain: 3 }, Fault::HeadChanged));
    }

    #[test]
    fn chain_put_back_as_a_whole_is_not_what_a_checkpoint_saw(
        new in prop::collection::vec(entry(), 2..40),
        kept in any::<prop::sample::Index>(),
    ) {
        let kept = kept.index(new.len() - 1);
        let (entries, head) = chained(new.clone());
        let seen = Expected::from([(head.seq, head.hash)]);
        let (_, earlier) = chained(new[..kept].to_vec());
        let broken = check(&keys().seal(&earlier), &entries[..kept], seen.clone(), 7).unwrap_err();
        prop_assert_eq!((broken.place, broken.fault), (at(kept), Fault::TailCut));
        let mut others = new;
        others[kept].subject = Some("another".into());
        let (entries, head) = chained(others);
        let broken = check(&keys().seal(&head), &entries, seen, 7).unwrap_err();
        prop_assert_eq!((broken.place, broken.fault), (at(entries.len() - 1), Fault::NotAsSeen));
    }

    #[test]
    fn what_is_left_after_forgetting_holds(
        new in prop::collection::vec(entry(), 1..40),
        gone in any::<prop::sample::Index>(),
        part in 1_usize..50,
    ) {
        let (entries, mut head) = chained(new);
        let last = entries[gone.index(entries.len())].clone();
        head.forgotten = Forgotten { seq: last.seq, hash: last.hash };
        let sealed = keys().seal(&head);
        let left: Vec<_> = entries.iter().filter(|entry| entry.seq > last.seq).cloned().collect();
        prop_assert_eq!(check(&sealed, &left, Expected::new(), part), Ok(head.seq));
        // Also while some of it is still there.
        prop_assert_eq!(check(&sealed, &entries, Expected::new(), part), Ok(head.seq));
    }
}
