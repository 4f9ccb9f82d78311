use super::*;

fn pin() -> Item {
    Item::Pin {
        channel: channel(1),
        ts: 5,
    }
}

#[test]
fn what_is_added_and_removed_at_the_same_time_stays() {
    let item = pin();
    let writes = [
        wrote((US, CALM), (10, 20), &item, add("ann")),
        wrote((US, SPLIT), (100, 110), &item, Change::Remove),
        wrote((US, SPLIT), (200, 210), &item, add("bob")),
        wrote((EU, SPLIT), (900, 910), &item, Change::Remove),
    ];
    assert_eq!(broken(&writes, &item, &["bob"]), []);
    assert_eq!(broken(&writes, &item, &[]), [Rule::Lost]);
}

#[test]
fn what_is_removed_by_whoever_knew_of_it_is_gone() {
    let item = pin();
    let of_calm = wrote((US, CALM), (10, 20), &item, add("ann"));
    let of_split = wrote((EU, SPLIT), (100, 110), &item, add("ann"));
    let removed = wrote((EU, SPLIT), (120, 130), &item, Change::Remove);
    for added in [of_calm, of_split] {
        let writes = [added, removed.clone()];
        assert_eq!(broken(&writes, &item, &[]), []);
        assert_eq!(broken(&writes, &item, &["ann"]), [Rule::CameBack]);
    }
}

#[test]
fn under_way_at_the_same_time_or_unanswered_may_come_out_either_way() {
    let item = pin();
    let added = wrote((US, SPLIT), (100, 120), &item, add("ann"));
    let removed = wrote((US, SPLIT), (110, 130), &item, Change::Remove);
    let later = wrote((US, SPLIT), (300, 310), &item, Change::Remove);
    for removed in [removed, unanswered(later)] {
        let writes = [added.clone(), removed];
        assert_eq!(broken(&writes, &item, &[]), []);
        assert_eq!(broken(&writes, &item, &["ann"]), []);
    }
}

#[test]
fn what_nobody_answered_may_be_there_or_not() {
    let item = pin();
    let writes = [unanswered(wrote((US, SPLIT), (1, 2), &item, add("ann")))];
    assert_eq!(broken(&writes, &item, &[]), []);
    assert_eq!(broken(&writes, &item, &["ann"]), []);
}

#[test]
fn the_last_to_add_is_shown() {
    let item = pin();
    let mut writes = vec![
        wrote((US, SPLIT), (100, 110), &item, add("ann")),
        wrote((EU, SPLIT), (500, 510), &item, add("bob")),
    ];
    assert_eq!(broken(&writes, &item, &["bob"]), []);
    assert_eq!(broken(&writes, &item, &["ann"]), [Rule::LastWriter]);
    assert_eq!(broken(&writes, &item, &["eve"]), [Rule::Unheard]);
    // Bob's may be gone, as whoever removed it may have known of it.
    writes.push(wrote((EU, SPLIT), (505, 520), &item, Change::Remove));
    assert_eq!(broken(&writes, &item, &["ann"]), []);
}

#[test]
fn what_was_never_added_is_not_there() {
    assert_eq!(broken(&[], &pin(), &["ann"]), [Rule::CameBack]);
}

#[test]
fn regions_that_talk_again_may_know_of_one_another() {
    let item = pin();
    let writes = [
        wrote((US, SPLIT), (100, 110), &item, add("ann")),
        wrote((EU, AFTER), (900, 910), &item, Change::Remove),
    ];
    assert_eq!(broken(&writes, &item, &[]), []);
    assert_eq!(broken(&writes, &item, &["ann"]), []);
}
