//! Finds what begins alike: a sorted set of words, so that a prefix is a range of it.

use std::collections::BTreeSet;
use std::ops::Bound;

/// What a word costs beside its bytes.
const WORD_BYTES: usize = 64;

/// Words, and whose they are.
#[derive(Debug, Default)]
pub struct Index {
    words: BTreeSet<(Box<str>, u64)>,
    bytes: usize,
}

/// Whose word was found, and which.
pub type Found<'a> = (&'a str, u64);

impl Index {
    /// Adds the words of something.
    pub fn add(&mut self, id: u64, words: impl IntoIterator<Item = String>) {
        for word in words {
            let bytes = word.len() + WORD_BYTES;
            if self.words.insert((word.into(), id)) {
                self.bytes += bytes;
            }
        }
    }

    /// Takes them out.
    pub fn remove(&mut self, id: u64, words: impl IntoIterator<Item = String>) {
        for word in words {
            let bytes = word.len() + WORD_BYTES;
            if self.words.remove(&(word.into(), id)) {
                self.bytes -= bytes;
            }
        }
    }

    /// Words that begin with `prefix`, in order, after `after`.
    pub fn find<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<(&str, u64)>,
    ) -> impl Iterator<Item = Found<'a>> {
        let start = Bound::Included((prefix.into(), 0));
        let from = match after {
            Some((word, id)) if word >= prefix => Bound::Excluded((word.into(), id)),
            _ => start,
        };
        let found = self.words.range((from, Bound::Unbounded));
        let found = found.map(|(word, id)| (&**word, *id));
        found.take_while(move |(word, _)| word.starts_with(prefix))
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// As words are compared: capitals do not matter.
pub fn folded(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// What somebody is found by: each name as a whole, and each word of it.
pub fn words_of<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for name in names {
        let name = folded(name.trim());
        let parts = name.split(|c: char| !c.is_alphanumeric());
        words.extend(parts.filter(|part| !part.is_empty()).map(str::to_owned));
        words.insert(name);
    }
    words.remove("");
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let mut index = Index::default();
        index.add(1, words_of(["ann", "Ann Ames"]));
        index.add(2, words_of(["ben", "Benjamin Amberg"]));
        index.add(3, words_of(["anna.lee", "李安娜"]));
        index
    }

    fn ids(index: &Index, prefix: &str) -> Vec<u64> {
        index.find(prefix, None).map(|(_, id)| id).collect()
    }

    #[test]
    fn a_prefix_finds_whole_names_and_words_of_them() {
        let index = index();
        assert_eq!(ids(&index, "am"), [2, 1], "amberg, ames");
        assert_eq!(ids(&index, "benjamin a"), [2]);
        assert_eq!(ids(&index, "lee"), [3]);
        assert_eq!(ids(&index, "李"), [3]);
        assert_eq!(ids(&index, "x"), [0u64; 0]);
        let all: Vec<_> = index.find("ann", None).collect();
        let whole = [("ann", 1), ("ann ames", 1), ("anna", 3), ("anna.lee", 3)];
        assert_eq!(all, whole);
    }

    #[test]
    fn it_goes_on_after_what_was_found_last() {
        let index = index();
        let after: Vec<_> = index.find("ann", Some(("ann ames", 1))).collect();
        assert_eq!(after, [("anna", 3), ("anna.lee", 3)]);
        let from_elsewhere: Vec<_> = index.find("ann", Some(("a", 9))).collect();
        assert_eq!(from_elsewhere.len(), 4, "not before the prefix");
        assert_eq!(index.find("ann", Some(("zoe", 1))).count(), 0);
    }

    #[test]
    fn what_is_taken_out_is_not_found_and_costs_nothing() {
        let mut index = index();
        index.remove(1, words_of(["ann", "Ann Ames"]));
        index.remove(1, words_of(["ann"]));
        assert_eq!(ids(&index, "ann"), [3, 3]);
        index.remove(2, words_of(["ben", "Benjamin Amberg"]));
        index.remove(3, words_of(["anna.lee", "李安娜"]));
        assert_eq!(index.bytes(), 0);
    }

    #[test]
    fn names_are_folded_and_taken_apart() {
        let words = words_of(["  Ünal.Öz ", ""]);
        assert_eq!(
            words.into_iter().collect::<Vec<_>>(),
            ["öz", "ünal", "ünal.öz"]
        );
    }
}
