//! How often an Item may log in at its institution on one day, so that nothing Ponte does locks its user out there.
//!
//! Every login is counted on the Item before it is made, whoever asked for the run and however it ends. Sandboxes and
//! files lock nobody out.

use std::time::Duration;

use entity::item;

use crate::{
    clock::Timestamp,
    connector::{Descriptor, SourceKind},
};

const DAY: Duration = Duration::from_hours(24);

/// The beginning of a day in UTC.
fn day(now: Timestamp) -> Timestamp {
    let lasts = i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX);
    Timestamp(now.0 - now.0.rem_euclid(lasts))
}

/// How many logins a day may have: `most` as the settings say it, at institutions that count them.
pub fn limit(most: Option<i32>, form: &Descriptor) -> Option<i32> {
    most.filter(|_| !form.is_sandbox && form.source != SourceKind::File)
}

/// When an Item may log in again, if it has used up this day's logins.
pub fn until(
    most: Option<i32>,
    form: &Descriptor,
    item: &item::Model,
    now: Timestamp,
) -> Option<Timestamp> {
    let most = limit(most, form)?;
    let today = day(now);
    let counted = item.logins_since.is_some_and(|since| since >= today);
    (counted && item.logins >= most).then(|| today.plus(DAY))
}

/// Counts one login.
pub fn count(item: &mut item::Model, now: Timestamp) {
    let today = day(now);
    if item.logins_since.is_none_or(|since| since < today) {
        item.logins_since = Some(today);
        item.logins = 0;
    }
    item.logins = item.logins.saturating_add(1);
}

/// Forgets what was counted.
pub(super) fn forget(item: &mut item::Model) {
    item.logins_since = None;
    item.logins = 0;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::auto_sync::tests::{form, updated};

    const NOON: Timestamp = Timestamp(1_773_662_400_000);
    const MIDNIGHT: Timestamp = Timestamp(NOON.0 + 12 * 3_600_000);

    #[test]
    fn a_day_has_so_many_logins_and_the_next_one_as_many() {
        let (form, mut item) = (form(), updated());
        let stands = |item: &item::Model, now| until(Some(3), &form, item, now);
        for now in [
            NOON,
            NOON.plus(Duration::from_secs(1)),
            MIDNIGHT.minus(Duration::from_millis(1)),
        ] {
            assert_eq!(stands(&item, now), None);
            count(&mut item, now);
        }
        assert_eq!(stands(&item, NOON), Some(MIDNIGHT));
        assert_eq!(
            stands(&item, MIDNIGHT.minus(Duration::from_millis(1))),
            Some(MIDNIGHT)
        );
        assert_eq!(stands(&item, MIDNIGHT), None);
        count(&mut item, MIDNIGHT);
        assert_eq!((item.logins_since, item.logins), (Some(MIDNIGHT), 1));
        // A node whose clock is a little behind goes on counting the day that has begun.
        count(&mut item, NOON);
        assert_eq!((item.logins_since, item.logins), (Some(MIDNIGHT), 2));
        forget(&mut item);
        assert_eq!((item.logins_since, item.logins), (None, 0));
    }

    #[test]
    fn without_a_limit_and_where_nobody_counts_there_is_none() {
        let with = |change: &dyn Fn(&mut Descriptor)| {
            let mut form = form();
            change(&mut form);
            form
        };
        let item = item::Model {
            logins_since: Some(day(NOON)),
            logins: 100,
            ..updated()
        };
        assert_eq!(until(Some(100), &form(), &item, NOON), Some(MIDNIGHT));
        assert_eq!(until(Some(101), &form(), &item, NOON), None);
        assert_eq!(until(None, &form(), &item, NOON), None);
        let sandbox = with(&|form| form.is_sandbox = true);
        assert_eq!(until(Some(1), &sandbox, &item, NOON), None);
        let file = with(&|form| form.source = SourceKind::File);
        assert_eq!(until(Some(1), &file, &item, NOON), None);
    }
}
