use super::*;

fn member() -> Item {
    Item::Member {
        channel: channel(1),
        user: user(1),
    }
}

fn was_there() -> Written {
    Written {
        region: None,
        ..wrote((US, 0), (0, 0), &member(), Change::Join)
    }
}

/// What is broken if they are a member, and if they are not.
fn if_in_and_out(writes: &[Written]) -> [usize; 2] {
    [&["x"][..], &[]].map(|shown| {
        let broken = broken(writes, &member(), shown);
        assert!(broken.iter().all(|rule| *rule == Rule::Membership));
        broken.len()
    })
}

#[test]
fn where_somebody_joins_and_is_removed_at_the_same_time_they_are_out() {
    let item = member();
    let writes = [
        was_there(),
        wrote((US, SPLIT), (100, 110), &item, Change::Leave),
        wrote((US, SPLIT), (200, 210), &item, Change::Join),
        wrote((EU, SPLIT), (150, 160), &item, Change::Leave),
    ];
    assert_eq!(if_in_and_out(&writes), [1, 0]);
    assert_eq!(if_in_and_out(&writes[..3]), [0, 1], "but for the removal");
}

#[test]
fn whoever_stays_is_a_member_and_whoever_never_joined_is_not() {
    assert_eq!(if_in_and_out(&[was_there()]), [0, 1]);
    assert_eq!(if_in_and_out(&[]), [1, 0]);
}

#[test]
fn a_join_that_knows_of_all_removals_counts() {
    let item = member();
    let writes = [
        was_there(),
        wrote((US, CALM), (10, 20), &item, Change::Leave),
        wrote((EU, CALM), (11, 21), &item, Change::Leave),
        wrote((EU, SPLIT), (100, 110), &item, Change::Join),
    ];
    assert_eq!(if_in_and_out(&writes), [0, 1]);
}

#[test]
fn a_removal_that_may_be_known_or_may_not_have_been_leaves_it_open() {
    let item = member();
    let removal = wrote((US, SPLIT), (100, 120), &item, Change::Leave);
    let meanwhile = wrote((US, SPLIT), (110, 130), &item, Change::Join);
    assert_eq!(
        if_in_and_out(&[was_there(), removal.clone(), meanwhile]),
        [0, 0]
    );
    assert_eq!(if_in_and_out(&[was_there(), unanswered(removal)]), [0, 0]);
}
