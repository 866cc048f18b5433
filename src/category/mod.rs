//! Categories of transactions: the tree of them, and who decides which one a transaction has.
//!
//! The tree is data (`tree.csv`) and the same everywhere; its ids never change. A transaction has the category that its
//! user has chosen ([`choice`]), else the one that a rule of the application decides ([`rule`]), else the one that the
//! institution names or the [`classifier`] finds. Each of the three is stored by itself, so that taking one back shows
//! the next.

pub mod choice;
pub mod classifier;
pub mod merchant;
pub mod pass;
pub mod rule;

use std::sync::LazyLock;

use entity::kind::CategorySource;

/// A kind of thing that money is spent on, or comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Category {
    /// Eight digits, two for each level of the tree; the last ones are 0.
    pub id: &'static str,
    /// Name, in English.
    pub description: &'static str,
    /// Name, in Portuguese.
    pub translated: &'static str,
}

static TREE: LazyLock<Vec<Category>> = LazyLock::new(|| {
    let rows = records(include_str!("tree.csv")).map(|row| match row[..] {
        [id, description, translated] => Category {
            id,
            description,
            translated,
        },
        _ => panic!("a line of the tree has three fields"),
    });
    rows.collect()
});

/// All categories, by ascending id: each before those below it.
pub fn all() -> &'static [Category] {
    &TREE
}

/// The category with an id.
pub fn find(id: &str) -> Option<&'static Category> {
    let place = TREE.binary_search_by(|category| category.id.cmp(id));
    TREE.get(place.ok()?)
}

impl Category {
    /// What it belongs to; `None` for a root.
    pub fn parent(&self) -> Option<&'static Category> {
        let stem = self.stem();
        let above = stem.len().checked_sub(2).filter(|above| *above > 0)?;
        find(&format!("{:0<8}", &stem[..above]))
    }

    /// Whether it belongs to another one, at any level below that.
    pub fn lies_in(&self, other: &Self) -> bool {
        self.id != other.id && self.id.starts_with(other.stem())
    }

    /// What belongs to it, one level below.
    pub fn children(&self) -> impl Iterator<Item = &'static Category> {
        let level = self.stem().len() + 2;
        self.family()
            .filter(move |other| other.stem().len() == level)
    }

    /// Itself and everything below it.
    pub fn family(&self) -> impl Iterator<Item = &'static Category> {
        let stem = self.stem();
        TREE.iter().filter(move |other| other.id.starts_with(stem))
    }

    /// Its id as a number.
    pub fn number(&self) -> i64 {
        self.id.parse().expect("ids are eight digits")
    }

    /// The digits that it shares with everything below it.
    fn stem(&self) -> &'static str {
        let levels = [2, 4, 6].into_iter();
        let ends = levels.map(|end| self.id.split_at(end));
        let found = ends
            .into_iter()
            .find(|(_, rest)| rest.bytes().all(|digit| digit == b'0'));
        found.map_or(self.id, |(stem, _)| stem)
    }
}

/// The category of a transaction, and who has decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Which one.
    pub category: &'static Category,
    /// Who has decided it.
    pub source: CategorySource,
}

impl Decided {
    /// By the ids that a transaction is stored with. Nothing is known of an id that only a newer version knows.
    pub fn stored(
        user: Option<&str>,
        rule: Option<&str>,
        other: Option<(&str, CategorySource)>,
    ) -> Option<Self> {
        let of = |id: &str, source| find(id).map(|category| Self { category, source });
        match (user, rule, other) {
            (Some(id), _, _) => of(id, CategorySource::User),
            (None, Some(id), _) => of(id, CategorySource::Rule),
            (None, None, Some((id, source))) => of(id, source),
            (None, None, None) => None,
        }
    }
}

/// The lines of an embedded file, split at semicolons; comments and empty lines left out.
fn records(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split(';').map(str::trim).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_tree_is_whole() {
        let ids: Vec<&str> = all().iter().map(|category| category.id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "ids ascend, each once");
        for category in all() {
            let Category {
                id,
                description,
                translated,
            } = category;
            assert!(
                id.len() == 8 && id.bytes().all(|digit| digit.is_ascii_digit()),
                "{id}"
            );
            assert!(!description.is_empty() && !translated.is_empty(), "{id}");
            assert_eq!(category.parent().is_none(), id.ends_with("000000"), "{id}");
            if let Some(parent) = category.parent() {
                assert!(parent.children().any(|child| child == category), "{id}");
                assert!(parent.family().any(|member| member == category), "{id}");
                assert!(parent.id < *id);
            }
            assert_eq!(find(id), Some(category));
        }
        let names: HashSet<&str> = all().iter().map(|one| one.description).collect();
        let translated: HashSet<&str> = all().iter().map(|one| one.translated).collect();
        assert_eq!((names.len(), translated.len()), (all().len(), all().len()));
        assert_eq!(all().len(), 131);
        let roots = all().iter().filter(|category| category.parent().is_none());
        assert_eq!(roots.count(), 22);
    }

    #[test]
    fn ids_that_clients_know_mean_what_they_meant() {
        for (id, description) in [
            ("05000000", "Transfers"),
            ("05080000", "Transfer - TED"),
            ("11000000", "Food and drinks"),
            ("11010000", "Eating out"),
            ("22000000", "Other"),
        ] {
            assert_eq!(find(id).map(|one| one.description), Some(description));
        }
        for unknown in ["", "5000000", "05000001", "050000000", "Transfers"] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
        let gas = find("19050100").expect("a category");
        let above: Vec<_> =
            std::iter::successors(gas.parent(), |category| category.parent()).collect();
        let above: Vec<_> = above.iter().map(|category| category.description).collect();
        assert_eq!(above, ["Automotive", "Transportation"]);
        let transport = find("19000000").expect("a category");
        assert_eq!(transport.children().count(), 5);
        assert_eq!(transport.family().count(), 12);
    }

    #[test]
    fn a_users_choice_goes_before_a_rule_and_a_rule_before_the_rest() {
        let [user, rule, other] = ["05000000", "06000000", "07000000"];
        let by = CategorySource::Classifier;
        let decided = |user, rule, other| {
            Decided::stored(user, rule, other).map(|one| (one.category.id, one.source))
        };
        assert_eq!(
            decided(Some(user), Some(rule), Some((other, by))),
            Some((user, CategorySource::User))
        );
        assert_eq!(
            decided(None, Some(rule), Some((other, by))),
            Some((rule, CategorySource::Rule))
        );
        assert_eq!(decided(None, None, Some((other, by))), Some((other, by)));
        assert_eq!(decided(None, None, None), None);
        assert_eq!(decided(Some("23000000"), Some(rule), None), None);
    }
}
