//! Times in the format of RFC 3339, in UTC, for the log and the state.
//!
//! Knows the calendar only; never reads a clock.

use std::time::{Duration, SystemTime};

/// `2026-08-19T10:00:00.5Z`: fractions as far as they are not zero (Go's `RFC3339Nano`).
///
/// A time before 1970 is written as 1970, one after 9999 with more than four digits.
pub fn format(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let mut text =
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}", second % 60);
    if since.subsec_nanos() > 0 {
        text.push_str(format!(".{:09}", since.subsec_nanos()).trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// Year, month and day of a number of days after 1970-01-01, Gregorian.
///
/// Counted from 1 March 2000, the day after the leap day that ends a cycle of 400 years: so the
/// leap day is the last of its year, of its 4 years and of its 400.
fn date(days: u64) -> (u64, u64, u64) {
    const CYCLE: u64 = 146_097;
    // One cycle added, so that 1970 is not before the beginning: 1 March 1600.
    let days = days + CYCLE - 11_017;
    let (cycle, day) = (days / CYCLE, days % CYCLE);
    let century = (day / 36_524).min(3);
    let day = day - century * 36_524;
    let (four, day) = (day / 1461, day % 1461);
    let year = (day / 365).min(3);
    let day = day - year * 365;
    // Months from March on: 31 30 31 30 31, twice, then January and February.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = 1600 + 400 * cycle + 100 * century + 4 * four + year;
    match month {
        0..=9 => (year, month + 3, day),
        _ => (year + 1, month - 9, day),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, nanos: u32) -> String {
        format(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos))
    }

    #[test]
    fn known_times() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (68_169_600, "1972-02-29T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_000_000_000, "2001-09-09T01:46:40Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(at(seconds, 0), text);
        }
    }

    #[test]
    fn fractions_without_trailing_zeros() {
        assert_eq!(at(1, 500_000_000), "1970-01-01T00:00:01.5Z");
        assert_eq!(at(1, 1), "1970-01-01T00:00:01.000000001Z");
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let leap = |year: u64| match year.is_multiple_of(100) {
            true => year.is_multiple_of(400),
            false => year.is_multiple_of(4),
        };
        let length = |year: u64, month: u64| match month {
            4 | 6 | 9 | 11 => 30,
            2 if leap(year) => 29,
            2 => 28,
            _ => 31,
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..200_000 {
            assert_eq!(date(days), (year, month, day), "{days}");
            day += 1;
            if day > length(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
