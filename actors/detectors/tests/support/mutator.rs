//! Makes hostile documents out of sound ones: bits flipped, pieces cut, repeated, exchanged and taken from other documents,
//! numbers replaced by extremes, and what is known to hurt readers put in.

use crate::noise::Noise;

/// What stands for a number in a hostile document.
const NUMBERS: [&str; 22] = [
    "",
    "0",
    "-0",
    "-1",
    "1e308",
    "-1e308",
    "1e-320",
    "NaN",
    "inf",
    "-inf",
    "4294967295",
    "4294967296",
    "9223372036854775808",
    "99999999999999999999999999999999",
    "0.000000000000000000001",
    "1.",
    ".5",
    "0x10",
    "+7",
    "PT-1S",
    "PT999999999999999S",
    "0 4294967295",
];

/// What is known to hurt readers of XML.
const MARKUP: [&str; 14] = [
    "<",
    ">",
    "&",
    "&amp;",
    "&#0;",
    "&#x110000;",
    "&lol;",
    "<!DOCTYPE a [<!ENTITY b \"c\">]>",
    "<![CDATA[",
    "]]>",
    "<?xml version='1.0' encoding='UTF-16'?>",
    "<!--",
    "\u{0}",
    "\u{fffd}\u{feff}",
];

/// A piece of bytes, at most `most` long.
fn piece(noise: &mut Noise, bytes: &[u8], most: usize) -> std::ops::Range<usize> {
    let start = noise.below(bytes.len() + 1);
    let length = noise.below(most.min(bytes.len() - start) + 1);
    start..start + length
}

/// Pieces of text that start with a character of one kind and go on with another: tags, or numbers.
fn tokens(bytes: &[u8], start: impl Fn(u8) -> bool, inside: impl Fn(u8) -> bool) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !start(bytes[at]) {
            at += 1;
            continue;
        }
        let end = bytes[at + 1..]
            .iter()
            .position(|byte| !inside(*byte))
            .map_or(bytes.len(), |length| at + 1 + length);
        found.push(at..end);
        at = end;
    }
    found
}

fn numbers(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let inside = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    tokens(bytes, inside, inside)
}

fn tags(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    tokens(bytes, |byte| byte == b'<', |byte| byte != b'<')
}

fn replace(bytes: &mut Vec<u8>, at: std::ops::Range<usize>, by: &[u8]) {
    bytes.splice(at, by.iter().copied());
}

/// Changes a document of text in one to six places. `other` is another document, from which pieces may come.
pub fn text(noise: &mut Noise, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=noise.below(6) {
        match noise.below(10) {
            0..=2 => {
                let found = numbers(bytes);
                if !found.is_empty() {
                    let at = found[noise.below(found.len())].clone();
                    replace(bytes, at, NUMBERS[noise.below(NUMBERS.len())].as_bytes());
                }
            }
            3 | 4 => {
                let found = tags(bytes);
                if !found.is_empty() {
                    let from = bytes[found[noise.below(found.len())].clone()].to_vec();
                    let at = found[noise.below(found.len())].clone();
                    // Exchanged, doubled or gone.
                    let by = [
                        from.as_slice(),
                        &[bytes[at.clone()].to_vec(), from.clone()].concat(),
                        &[],
                    ][noise.below(3)]
                    .to_vec();
                    replace(bytes, at, &by);
                }
            }
            5 => {
                let at = noise.below(bytes.len() + 1);
                replace(bytes, at..at, MARKUP[noise.below(MARKUP.len())].as_bytes());
            }
            6 => {
                let at = noise.below(bytes.len() + 1);
                let deep = "<a b='1'>".repeat(noise.below(60));
                replace(bytes, at..at, deep.as_bytes());
            }
            _ => binary(noise, bytes, other),
        }
    }
}

/// Changes bytes of any kind in one place.
pub fn binary(noise: &mut Noise, bytes: &mut Vec<u8>, other: &[u8]) {
    match noise.below(7) {
        0 if !bytes.is_empty() => {
            let at = noise.below(bytes.len());
            bytes[at] ^= 1 << noise.below(8);
        }
        1 => {
            let at = piece(noise, bytes, 200);
            replace(bytes, at, &[]);
        }
        2 => bytes.truncate(noise.below(bytes.len() + 1)),
        3 => {
            let from = bytes[piece(noise, bytes, 2_000)].to_vec();
            let at = noise.below(bytes.len() + 1);
            replace(bytes, at..at, &from);
        }
        4 => {
            let from = piece(noise, other, 2_000);
            let at = piece(noise, bytes, 2_000);
            replace(bytes, at, &other[from]);
        }
        5 => {
            // A length or a number of four bytes.
            let extreme = [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0x8000_0000, u32::MAX][noise.below(7)];
            let extreme: u32 = extreme;
            let at = noise.below(bytes.len() + 1);
            let end = (at + 4).min(bytes.len());
            replace(
                bytes,
                at..end,
                &[extreme.to_le_bytes(), extreme.to_be_bytes()][noise.below(2)],
            );
        }
        _ => {
            let at = noise.below(bytes.len() + 1);
            let random: Vec<u8> = (0..noise.below(16)).map(|_| noise.bits() as u8).collect();
            replace(bytes, at..at, &random);
        }
    }
}
