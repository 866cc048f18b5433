//! Dates of OFX: `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, then maybe `.XXX`, then maybe `[-5:EST]`.
//!
//! The day is the one that is written: institutions post by their own calendar. A name without a number, as in
//! `[-:EST]`, is no zone: abbreviations mean different hours in different countries.

use chrono::{NaiveDate, NaiveTime, TimeDelta};

use crate::clock::Timestamp;

/// Years outside of these are typing errors or placeholders such as `99991231`.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=2199;
/// Hours between UTC and a place on earth.
const OFFSET_HOURS: std::ops::RangeInclusive<i64> = -12..=14;

/// A day and an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The local day, as written.
    pub day: NaiveDate,
    /// The instant: by the zone if one is given, else as if written in UTC.
    pub instant: Timestamp,
}

/// Reads a date; `None` if it is not one.
pub fn read(text: &str) -> Option<Moment> {
    let (written, zone) = match text.split_once('[') {
        Some((written, zone)) => (written.trim_end(), zone.strip_suffix(']').unwrap_or(zone)),
        None => (text, ""),
    };
    let end = written
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(written.len());
    let (digits, rest) = written.split_at(end);
    let number = |from: usize, to: usize| -> Option<u32> { digits.get(from..to)?.parse().ok() };
    let year = i32::try_from(number(0, 4)?).ok()?;
    let day = NaiveDate::from_ymd_opt(year, number(4, 6)?, number(6, 8)?)?;
    let (hour, minute, second) = match digits.len() {
        8 => (0, 0, 0),
        12 => (number(8, 10)?, number(10, 12)?, 0),
        14 => (number(8, 10)?, number(10, 12)?, number(12, 14)?),
        _ => return None,
    };
    let time = NaiveTime::from_hms_milli_opt(hour, minute, second, milliseconds(rest)?)?;
    if !YEARS.contains(&year) {
        return None;
    }
    let local = day.and_time(time).and_utc();
    Some(Moment {
        day,
        instant: (local - offset(zone).unwrap_or_default()).into(),
    })
}

/// What follows the seconds: a fraction, or digits behind a colon, which some banks write and which mean nothing.
fn milliseconds(rest: &str) -> Option<u32> {
    let Some(fraction) = rest.strip_prefix(['.', ':']) else {
        return rest.is_empty().then_some(0);
    };
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if rest.starts_with(':') {
        return Some(0);
    }
    let kept = &fraction[..fraction.len().min(3)];
    format!("{kept:0<3}").parse().ok()
}

/// The offset of `-5:EST`, `+5.5` or `-3.30:NST`: hours, and a fraction in decimals or minutes.
fn offset(zone: &str) -> Option<TimeDelta> {
    let number = zone.split(':').next()?.trim();
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    let (hours, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let minutes = match fraction {
        "" | "0" | "00" => 0,
        "25" | "15" => 15,
        "5" | "50" | "30" => 30,
        "75" | "45" => 45,
        _ => return None,
    };
    let well_formed = !hours.is_empty() && hours.bytes().all(|b| b.is_ascii_digit());
    let hours: i64 = if well_formed {
        hours.parse().ok()?
    } else {
        return None;
    };
    let sign = if number.starts_with('-') { -1 } else { 1 };
    let offset = TimeDelta::try_minutes(sign * (hours.min(99) * 60 + minutes))?;
    OFFSET_HOURS.contains(&offset.num_hours()).then_some(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_as_written_and_the_instant_follows_the_zone() {
        for (text, day, instant) in [
            ("20110331", "2011-03-31", "2011-03-31T00:00:00.000Z"),
            ("201103311205", "2011-03-31", "2011-03-31T12:05:00.000Z"),
            ("20110331120506", "2011-03-31", "2011-03-31T12:05:06.000Z"),
            (
                "20110331120506.12",
                "2011-03-31",
                "2011-03-31T12:05:06.120Z",
            ),
            (
                "20110331120000.000[-5:EST]",
                "2011-03-31",
                "2011-03-31T17:00:00.000Z",
            ),
            (
                "20110331233000[-3:BRT]",
                "2011-03-31",
                "2011-04-01T02:30:00.000Z",
            ),
            (
                "20110331003000 [+5.5:IST]",
                "2011-03-31",
                "2011-03-30T19:00:00.000Z",
            ),
            (
                "20110331003000[+5.30:IST]",
                "2011-03-31",
                "2011-03-30T19:00:00.000Z",
            ),
            (
                "20110331120000[-3.5:NST]",
                "2011-03-31",
                "2011-03-31T15:30:00.000Z",
            ),
            (
                "20110331[-03:GMT]",
                "2011-03-31",
                "2011-03-31T03:00:00.000Z",
            ),
            (
                "20110331120000[0:GMT]",
                "2011-03-31",
                "2011-03-31T12:00:00.000Z",
            ),
            (
                "20110331120000[-:EST]",
                "2011-03-31",
                "2011-03-31T12:00:00.000Z",
            ),
            (
                "20110331120000[EST]",
                "2011-03-31",
                "2011-03-31T12:00:00.000Z",
            ),
            (
                "20110331120000[-5:EST",
                "2011-03-31",
                "2011-03-31T17:00:00.000Z",
            ),
            (
                "20110331120000[-999999999999999999:EST]",
                "2011-03-31",
                "2011-03-31T12:00:00.000Z",
            ),
            (
                "20180804093914:014",
                "2018-08-04",
                "2018-08-04T09:39:14.000Z",
            ),
            ("20240229", "2024-02-29", "2024-02-29T00:00:00.000Z"),
        ] {
            let moment = read(text).expect(text);
            assert_eq!(moment.day.to_string(), day, "{text}");
            assert_eq!(moment.instant.to_string(), instant, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "0",
            "2011",
            "201103",
            "2011033",
            "2011033112",
            "201120000000",
            "20120231",
            "20230229",
            "20110331250000",
            "20110331126000",
            "2011-03-31",
            "20110331x",
            "20110331120000.x",
            "00000000",
            "99991231",
            "18991231",
            "２０１１０３３１",
            "[-5:EST]",
            "20110331120000.000000000000000000000é",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
