//! Counts by channel as N42.42 writes them: numbers with white space between them.
//!
//! They are most of a document, and nearly all are short and whole. So two readers share the work: the quick one takes whole
//! blocks of bytes and knows only whole numbers of at most eight digits; it leaves a text at the first block with anything
//! else, and the thorough one, which knows every spelling and all that can be wrong, reads on from there. Both give their
//! numbers to one [`Tally`].

use super::values::shortened;

/// What counts by channel come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Channels {
    /// How many channels there are.
    pub(super) len: usize,
    /// Sum, rounded.
    pub(super) total: u64,
    /// Some counts were not whole.
    pub(super) fractional: bool,
}

/// Why channel data cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadCounts {
    /// A value that is no count.
    Value(String),
    /// More channels than are left of the limit.
    TooMany,
}

/// Reads white-space separated counts, and appends them to `words` if they are to be kept. With `counted_zeros`, `0 n` stands
/// for n zeros, in `words` as well; runs may cross lines. At most `limit` channels are taken.
pub(super) fn channels(
    text: &str,
    counted_zeros: bool,
    mut words: Option<&mut Vec<u32>>,
    limit: usize,
) -> Result<Channels, BadCounts> {
    let mut tally = Tally::new(counted_zeros);
    let read = quick(text.as_bytes(), &mut tally, words.as_deref_mut(), limit);
    let rest = text.get(read..).unwrap_or_default();
    thorough(rest, &mut tally, words, limit)?;
    Ok(Channels {
        len: tally.len,
        total: tally.whole.saturating_add(tally.parts.round() as u64),
        fractional: tally.fractional,
    })
}

/// What the numbers of a text have come to so far.
#[derive(Debug, Clone, Copy)]
struct Tally {
    counted_zeros: bool,
    /// The last number was a zero whose count comes next.
    zero_waits: bool,
    len: usize,
    whole: u64,
    parts: f64,
    fractional: bool,
}

impl Tally {
    fn new(counted_zeros: bool) -> Self {
        Self {
            counted_zeros,
            zero_waits: false,
            len: 0,
            whole: 0,
            parts: 0.0,
            fractional: false,
        }
    }

    /// Takes the next numbers; false if one is the length of a run of zeros, and zero. As no run has that length, each zero
    /// starts a run, or is wrong. Which numbers are zeros cannot be foretold, so nothing in the loop is a branch.
    #[inline(always)]
    fn take(&mut self, numbers: &[u32]) -> bool {
        let mut all: u64 = 0;
        let (mut runs, mut zeros, mut ends, mut wrong) = (0_u64, 0_usize, 0_usize, false);
        let mut after_zero = self.zero_waits;
        for number in numbers {
            let zero = *number == 0;
            all += u64::from(*number);
            runs += if after_zero { u64::from(*number) } else { 0 };
            zeros += usize::from(zero);
            ends += usize::from(after_zero);
            wrong |= after_zero & zero;
            after_zero = zero;
        }
        if self.counted_zeros {
            let singles = numbers.len().saturating_sub(zeros + ends);
            self.len = self.len.saturating_add(runs as usize).saturating_add(singles);
            self.whole += all - runs;
            self.zero_waits = after_zero;
            return !wrong;
        }
        self.len = self.len.saturating_add(numbers.len());
        self.whole += all;
        true
    }

    /// Takes a count that is not whole.
    fn take_part(&mut self, value: f64) {
        self.fractional = true;
        self.parts += value;
        self.len = self.len.saturating_add(1);
    }
}

/// Bytes that the quick reader looks at together: as many as a word has bits.
const BLOCK: usize = 64;

/// Takes the numbers that end in the whole blocks at the start of a text, up to the first block with something that it does
/// not know or that is wrong; of that one it takes nothing. Returns how many bytes were read.
fn quick(bytes: &[u8], tally: &mut Tally, mut words: Option<&mut Vec<u32>>, limit: usize) -> usize {
    let mut read = 0;
    for (index, block) in bytes.as_chunks::<BLOCK>().0.iter().enumerate() {
        let Some(mut spaces) = spaces(block) else { break };
        // Numbers have a space between them.
        let mut numbers = [0_u32; BLOCK / 2];
        let mut found = 0;
        let mut start = read;
        while spaces != 0 {
            let end = index * BLOCK + spaces.trailing_zeros() as usize;
            spaces &= spaces - 1;
            let digits = end - start;
            start = end + 1;
            if digits == 0 {
                continue;
            }
            let number = match digits {
                1..=4 => up_to_4_digits(bytes, end, digits),
                5..=8 => up_to_8_digits(bytes, end, digits),
                _ => return read,
            };
            if let Some(slot) = numbers.get_mut(found) {
                *slot = number;
            }
            found += 1;
        }
        let Some(numbers) = numbers.get(..found) else { break };
        let mut next = *tally;
        if !next.take(numbers) || next.len > limit {
            break;
        }
        *tally = next;
        if let Some(words) = &mut words {
            words.extend_from_slice(numbers);
        }
        read = start;
    }
    read
}

/// A bit for each byte that is white space, the first byte lowest; none if a byte is neither that nor a digit.
#[inline(always)]
fn spaces(block: &[u8; BLOCK]) -> Option<u64> {
    /// Brings the lowest bits of eight bytes together in the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let mut is_space = [0_u8; BLOCK];
    let mut odd = false;
    for (flag, byte) in is_space.iter_mut().zip(block) {
        let space = (*byte == b' ') | (*byte == b'\n') | (*byte == b'\r') | (*byte == b'\t');
        *flag = u8::from(space);
        odd |= !space & !byte.is_ascii_digit();
    }
    let bits = is_space.as_chunks::<8>().0.iter().rev().fold(0, |bits, eight| {
        bits << 8 | u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56
    });
    (!odd).then_some(bits)
}

/// The number that the `digits` digits before `end` are. They are looked at together and not one after the other (D. Lemire,
/// "Number parsing at a gigabyte per second", Softw. Pract. Exp. 51 (2021) 1700): what stands before them becomes zeros,
/// then there are pairs, then fours.
#[inline(always)]
fn up_to_4_digits(bytes: &[u8], end: usize, digits: usize) -> u32 {
    let four = match bytes.get(..end).and_then(<[u8]>::last_chunk) {
        Some(four) => u32::from_le_bytes(*four),
        // Before the first digit of a text stands nothing.
        None => bytes
            .iter()
            .take(end)
            .fold(0, |four, byte| four >> 8 | u32::from(*byte) << 24),
    };
    let values = (four ^ 0x3030_3030) & (u32::MAX << (32 - 8 * digits));
    let pairs = values.wrapping_mul(10 * 0x100 + 1) >> 8;
    (pairs & 0x00ff_00ff).wrapping_mul(100 * 0x1_0000 + 1) >> 16
}

/// Like [`up_to_4_digits`] for more of them.
#[inline(always)]
fn up_to_8_digits(bytes: &[u8], end: usize, digits: usize) -> u32 {
    10_000 * up_to_4_digits(bytes, end - 4, digits - 4) + up_to_4_digits(bytes, end, 4)
}

/// Takes what is left of a text, number by number.
fn thorough(text: &str, tally: &mut Tally, mut words: Option<&mut Vec<u32>>, limit: usize) -> Result<(), BadCounts> {
    let mut keep = |word: u32| {
        if let Some(words) = &mut words {
            words.push(word);
        }
    };
    for token in text.split_ascii_whitespace() {
        let wrong_run = || {
            let why = format!("{:?} is not the length of a run of zeros", shortened(token));
            BadCounts::Value(why)
        };
        match count(token).map_err(BadCounts::Value)? {
            Count::Whole(number) => {
                if !tally.take(&[number]) {
                    return Err(wrong_run());
                }
                keep(number);
            }
            Count::Part(_) if tally.zero_waits => return Err(wrong_run()),
            Count::Part(value) => {
                tally.take_part(value);
                // Checked against the range of u32 when it was read.
                let rounded = value.round() as u32;
                keep(rounded);
                if tally.counted_zeros && rounded == 0 {
                    keep(1);
                }
            }
        }
        if tally.len > limit {
            return Err(BadCounts::TooMany);
        }
    }
    if tally.zero_waits {
        return Err(BadCounts::Value("it ends in the middle of a run of zeros".to_owned()));
    }
    Ok(())
}

enum Count {
    Whole(u32),
    Part(f64),
}

/// A count in any spelling: with a fraction, an exponent, a sign or many digits.
fn count(token: &str) -> Result<Count, String> {
    if let Ok(number) = token.parse() {
        return Ok(Count::Whole(number));
    }
    let value: f64 = token
        .parse()
        .map_err(|_| format!("{:?} is not a count", shortened(token)))?;
    if !(0.0..=f64::from(u32::MAX)).contains(&value) {
        return Err(format!("{:?} is negative, too large or not a number", shortened(token)));
    }
    if value.fract() == 0.0 {
        Ok(Count::Whole(value as u32))
    } else {
        Ok(Count::Part(value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection;
    use proptest::prelude::*;

    use super::super::packed::PackedCounts;
    use super::*;

    /// Each channel, and what all come to.
    fn counts_of(text: &str, counted_zeros: bool) -> Result<(Vec<u32>, Channels), BadCounts> {
        let mut words = Vec::new();
        let read = channels(text, counted_zeros, Some(&mut words), 100)?;
        let counts = PackedCounts::new(&words, counted_zeros, read.len).unpack();
        assert_eq!(counts.len(), read.len);
        Ok((counts, read))
    }

    #[test]
    fn runs_of_zeros_are_expanded_also_across_lines() {
        let (counts, read) = counts_of(" 0 2 5\n 0\n 3 7", true).unwrap();
        assert_eq!(counts, [0, 0, 5, 0, 0, 0, 7]);
        assert_eq!((read.len, read.total, read.fractional), (7, 12, false));
        let (plain, _) = counts_of("0 2 5", false).unwrap();
        assert_eq!(plain, [0, 2, 5]);
        assert_eq!(channels(" 0 2 5\n 0\n 3 7", true, None, 100), Ok(read));
    }

    #[test]
    fn short_long_and_odd_spellings_of_counts_are_read_alike() {
        let text = "0007\t123456789\r\n4294967295 1e3 +5 2. 4294967295.0\n000000000012";
        let (counts, read) = counts_of(text, false).unwrap();
        assert_eq!(counts, [7, 123_456_789, u32::MAX, 1_000, 5, 2, u32::MAX, 12]);
        assert_eq!(read.total, counts.iter().copied().map(u64::from).sum::<u64>());
        for text in ["4294967296", "12x", "1\u{a0}2", "\u{663}", "1-", "--1"] {
            for padded in [
                text.to_owned(),
                format!("{text}          "),
                format!("         {text} 1 2 3 4"),
            ] {
                assert!(channels(&padded, false, None, 100).is_err(), "{padded}");
            }
        }
        assert_eq!(channels(" \n\t", true, None, 100).unwrap().len, 0);
    }

    #[test]
    fn counts_of_any_length_are_read_alike_wherever_a_text_ends() {
        // Around each length the least and the greatest number, with what may stand behind it.
        let numbers: Vec<u64> = (0..=9)
            .flat_map(|digits| [10_u64.pow(digits), 10_u64.pow(digits) - 1])
            .collect();
        for first in &numbers {
            for second in &numbers {
                for space in [" ", "\n", "\t", "\r\n", "   "] {
                    let text = format!("{first}{space}{second:09}{space}{second}");
                    let (counts, _) = counts_of(&text, false).unwrap();
                    let wanted = [*first, *second, *second].map(|number| number as u32);
                    assert_eq!(counts, wanted, "{text:?}");
                }
            }
        }
    }

    #[test]
    fn a_fraction_that_rounds_to_nothing_is_one_channel_among_runs_too() {
        let (counts, read) = counts_of("0 2 0.25 3 0.75 0 1", true).unwrap();
        assert_eq!(counts, [0, 0, 0, 3, 1, 0]);
        assert_eq!((read.len, read.total, read.fractional), (6, 4, true));
    }

    #[test]
    fn fractional_counts_are_summed_before_rounding() {
        let (counts, read) = counts_of("0.4 0.4 0.4 2.000", false).unwrap();
        assert_eq!((read.total, read.fractional), (3, true));
        assert_eq!(counts, [0, 0, 0, 2]);
    }

    #[test]
    fn unreadable_counts_and_endless_runs_are_refused() {
        for text in ["1 x", "-1", "nan", "inf", "1e99", "0", "0 0", "0 1.5"] {
            assert!(
                matches!(channels(text, true, None, 10), Err(BadCounts::Value(_))),
                "{text}"
            );
        }
        assert_eq!(channels("0 11", true, None, 10), Err(BadCounts::TooMany));
        assert_eq!(channels("0 4294967295", true, None, 10), Err(BadCounts::TooMany));
    }

    /// A text of numbers with some of the oddities that devices write between and in them.
    fn spelled() -> impl Strategy<Value = String> {
        let number = prop_oneof![
            6 => Just("0".to_owned()),
            12 => (0_u32..100).prop_map(|number| number.to_string()),
            3 => any::<u32>().prop_map(|number| number.to_string()),
            1 => (any::<u32>(), 1_usize..12).prop_map(|(number, width)| format!("{number:0width$}")),
        ];
        let odd = prop_oneof![
            60 => Just(None),
            1 => prop_oneof![Just("2.50"), Just("1e2"), Just("x"), Just("-1"), Just("\u{a0}"), Just("+7")].prop_map(Some),
        ];
        let space = prop_oneof![20 => Just(" "), 1 => Just("\n\t  "), 1 => Just("\r\n"), 1 => Just("\u{c}")];
        collection::vec((number, odd, space), 0..120).prop_map(|tokens| {
            let word = |(number, odd, space): (String, Option<&str>, &str)| odd.map_or(number, str::to_owned) + space;
            tokens.into_iter().map(word).collect()
        })
    }

    proptest! {
        #[test]
        fn blocks_and_single_numbers_are_read_alike(text in spelled(), counted_zeros: bool, limit in prop_oneof![Just(50_usize), Just(1 << 40)]) {
            let (mut words, mut expected_words) = (Vec::new(), Vec::new());
            let read = channels(&text, counted_zeros, Some(&mut words), limit);
            let mut tally = Tally::new(counted_zeros);
            let expected = thorough(&text, &mut tally, Some(&mut expected_words), limit).map(|()| Channels {
                len: tally.len,
                total: tally.whole + tally.parts.round() as u64,
                fractional: tally.fractional,
            });
            prop_assert_eq!(&read, &expected);
            if read.is_ok() {
                prop_assert_eq!(words, expected_words);
            }
        }
    }
}
