//! RFC 3339 to Unix time.

/// The milliseconds of `2026-01-28T10:30:45.123Z`; `None` for anything else, other offsets included (Tenterhook writes UTC).
pub fn unix_millis(text: &str) -> Option<i64> {
    let seconds = unix_seconds(text)?;
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction.trim_end_matches('Z'));
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some(seconds * 1_000 + digits.parse::<i64>().ok()?)
}

/// The seconds of it.
pub fn unix_seconds(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let shape = bytes.len() >= 20
        && bytes.ends_with(b"Z")
        && [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')].iter().all(|(at, mark)| bytes[*at] == *mark);
    if !shape {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = &bytes[from..to];
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Howard Hinnant's `days_from_civil`, for years from 0: years begin in March, so that the leap day is the last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_are_right() {
        assert_eq!(unix_seconds("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(unix_seconds("2000-02-29T12:00:00Z"), Some(951_825_600));
        assert_eq!(unix_seconds("2026-01-28T10:30:45.123Z"), Some(1_769_596_245));
    }

    #[test]
    fn fractions_are_milliseconds() {
        assert_eq!(unix_millis("1970-01-01T00:00:01Z"), Some(1_000));
        assert_eq!(unix_millis("2026-01-28T10:30:45.123Z"), Some(1_769_596_245_123));
        assert_eq!(unix_millis("1970-01-01T00:00:00.0401Z"), Some(40));
    }

    #[test]
    fn anything_else_is_no_time() {
        for text in ["", "2026-01-28", "2026-13-28T10:30:45Z", "2026-01-28T10:30:45+01:00", "2026-01-28 10:30:45Zé", "€€€€€€€€€Z"]
        {
            assert_eq!(unix_seconds(text), None, "{text}");
        }
    }
}
