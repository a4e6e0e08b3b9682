//! A hardened, lenient reader of small XML documents.
//!
//! Devices and traders write XML that a strict parser stops at, and some of it is hostile. So this reader is lenient in
//! form (a prefix that was never declared, a byte-order mark, white space or processing instructions before the root are
//! noted and read) and strict in cost: size, depth, elements, attributes and text are capped, a DOCTYPE is refused
//! whole, and no entity but the five of XML itself exists. It does no I/O, and nothing external is ever fetched.

use std::borrow::Cow;
use std::fmt;

use portcullis_domain::finding::{Finding, FindingCode};
use quick_xml::Reader;
use quick_xml::escape::{resolve_xml_entity, unescape_with};
use quick_xml::events::attributes::Attributes;
use quick_xml::events::{BytesRef, BytesStart, Event};
use thiserror::Error;

/// What a document may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The whole document, in bytes.
    pub bytes: usize,
    /// Elements inside each other.
    pub depth: usize,
    /// Elements in all.
    pub elements: usize,
    /// Attributes of one element.
    pub attributes: usize,
    /// Text of one element, in bytes.
    pub text: usize,
    /// Namespace prefixes in scope at one place.
    pub prefixes: usize,
}

impl Limits {
    /// For detector files: one portal pass of half a minute is 3.4 MB and 13,000 elements.
    pub const READING: Self = Self {
        bytes: 32 << 20,
        depth: 32,
        elements: 250_000,
        attributes: 64,
        text: 4 << 20,
        prefixes: 64,
    };

    /// For declarations: a real one is 20 kB; one of 999 goods items, the most that customs takes, is about 10 MB.
    pub const DECLARATION: Self = Self {
        bytes: 16 << 20,
        depth: 48,
        elements: 250_000,
        attributes: 64,
        text: 1 << 20,
        prefixes: 64,
    };
}

/// Where something is in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Local names from the root, joined by `/`; empty before the root.
    pub path: String,
    /// Bytes from the start of the document.
    pub offset: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "at byte {}, outside any element", self.offset)
        } else {
            write!(f, "at byte {}, in {}", self.offset, self.path)
        }
    }
}

/// Why a document cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum XmlError {
    /// Larger than the limit.
    #[error("the document has {size} bytes and {limit} are allowed; send it in parts")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Nothing but white space and comments.
    #[error("the document has no root element; nothing was sent, or it is not XML")]
    NoRoot,
    /// Not text in an encoding that is read.
    #[error("the text cannot be decoded at byte {offset}: {detail}; send it as UTF-8")]
    Encoding {
        /// Bytes from the start.
        offset: usize,
        /// What is wrong.
        detail: String,
    },
    /// A document type, which could declare entities.
    #[error("a DOCTYPE stands {place}; document types are refused because they can declare entities: remove it")]
    Doctype {
        /// Where.
        place: Place,
    },
    /// An entity other than the five of XML, or a character that XML forbids.
    #[error(
        "the reference &{name}; {place} is not one of &lt; &gt; &amp; &apos; &quot; or a legal character: write the character itself"
    )]
    Entity {
        /// Its name, shortened.
        name: String,
        /// Where.
        place: Place,
    },
    /// One of the other limits.
    #[error("there are more than {limit} {what} {place}; simplify or split the document")]
    Limit {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// Where.
        place: Place,
    },
    /// The document ends early.
    #[error("the document ends {place}, before that element is closed; it was cut off: send it again in full")]
    Truncated {
        /// The innermost open element, and where the document ends.
        place: Place,
    },
    /// Anything else that is not XML.
    #[error("not well-formed {place}: {detail}; correct the document")]
    Malformed {
        /// What is wrong.
        detail: String,
        /// Where.
        place: Place,
    },
}

/// Bytes decoded to text, with what was odd about them.
#[derive(Debug)]
pub struct Source<'a> {
    text: Cow<'a, str>,
    /// Bytes before the text, so that offsets count from the start of what was sent.
    skipped: usize,
    byte_order_mark: bool,
    /// Where a character was cut in half by the end of the input.
    cut_at: Option<usize>,
}

/// A document that was read.
#[derive(Debug)]
pub struct Document<'a> {
    /// The root element.
    pub root: Element<'a>,
    /// The namespace of the root, if it has a declared one.
    pub namespace: Option<String>,
    /// What is odd about its form.
    pub findings: Vec<Finding>,
}

/// One element. Names are local names: prefixes are reported once and then ignored.
#[derive(Debug)]
pub struct Element<'a> {
    /// The local name.
    pub name: &'a str,
    /// Attributes in document order, by local name; namespace declarations are left out.
    pub attributes: Vec<(&'a str, Cow<'a, str>)>,
    /// All text directly in it, references resolved, untrimmed.
    pub text: Cow<'a, str>,
    /// The elements in it, in document order.
    pub children: Vec<Element<'a>>,
    /// Where it starts, in bytes.
    pub offset: usize,
}

impl<'a> Source<'a> {
    /// Decodes UTF-8, UTF-16 with a byte-order mark, and declared ISO-8859-1.
    ///
    /// # Errors
    /// [`XmlError::TooLarge`] and [`XmlError::Encoding`].
    pub fn decode(bytes: &'a [u8], limits: &Limits) -> Result<Self, XmlError> {
        if bytes.len() > limits.bytes {
            return Err(XmlError::TooLarge {
                size: bytes.len(),
                limit: limits.bytes,
            });
        }
        if let Some(rest) = bytes.strip_prefix(&[0xff, 0xfe]) {
            return Self::utf16(rest, u16::from_le_bytes);
        }
        if let Some(rest) = bytes.strip_prefix(&[0xfe, 0xff]) {
            return Self::utf16(rest, u16::from_be_bytes);
        }
        let (rest, byte_order_mark) = match bytes.strip_prefix(&[0xef, 0xbb, 0xbf]) {
            Some(rest) => (rest, true),
            None => (bytes, false),
        };
        let skipped = bytes.len() - rest.len();
        match declared_encoding(rest).as_deref() {
            None | Some("utf-8" | "utf8" | "us-ascii" | "ascii") => {}
            Some("iso-8859-1" | "latin1" | "latin-1") => {
                let text = rest.iter().map(|byte| char::from(*byte)).collect::<String>();
                return Ok(Self {
                    text: Cow::Owned(text),
                    skipped,
                    byte_order_mark,
                    cut_at: None,
                });
            }
            Some(other) => {
                let detail = format!("the declared encoding {other:?} is not supported");
                return Err(XmlError::Encoding {
                    offset: skipped,
                    detail,
                });
            }
        }
        match std::str::from_utf8(rest) {
            Ok(text) => Ok(Self {
                text: Cow::Borrowed(text),
                skipped,
                byte_order_mark,
                cut_at: None,
            }),
            // A character cut in half at the very end: read what is there, so that the error can name the open element.
            Err(error) if error.error_len().is_none() => {
                let whole = rest.get(..error.valid_up_to()).unwrap_or_default();
                let text = String::from_utf8_lossy(whole);
                Ok(Self {
                    text,
                    skipped,
                    byte_order_mark,
                    cut_at: Some(skipped + whole.len()),
                })
            }
            Err(error) => Err(XmlError::Encoding {
                offset: skipped + error.valid_up_to(),
                detail: "it is not valid UTF-8, and no other encoding is declared".to_owned(),
            }),
        }
    }

    fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Self, XmlError> {
        let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|pair| unit(*pair)).collect();
        let text = String::from_utf16(&units).map_err(|_| XmlError::Encoding {
            offset: 0,
            detail: "it starts with a UTF-16 mark and is not valid UTF-16".to_owned(),
        })?;
        Ok(Self {
            text: Cow::Owned(text),
            skipped: 0,
            byte_order_mark: true,
            cut_at: None,
        })
    }

    /// Reads the elements.
    ///
    /// # Errors
    /// Every other variant of [`XmlError`]. Offsets count bytes of the text as UTF-8.
    pub fn parse(&self, limits: &Limits) -> Result<Document<'_>, XmlError> {
        let mut parser = Parser::new(self, *limits);
        parser.run()?;
        let (root, namespace) = parser.root.take().ok_or(XmlError::NoRoot)?;
        if let Some(offset) = self.cut_at {
            let detail = "the last character is cut in half".to_owned();
            return Err(XmlError::Encoding { offset, detail });
        }
        Ok(Document {
            root,
            namespace,
            findings: parser.findings(),
        })
    }
}

impl<'a> Element<'a> {
    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<&Element<'a>> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The children of this name.
    pub fn children<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Element<'a>> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// Follows a path of child names, first match at each step.
    pub fn at(&self, path: &[&str]) -> Option<&Element<'a>> {
        path.iter().try_fold(self, |element, name| element.child(name))
    }

    /// The trimmed text at a path, if the element is there and not empty.
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path).map(Element::trimmed).filter(|text| !text.is_empty())
    }

    /// The text without white space around it.
    pub fn trimmed(&self) -> &str {
        self.text.trim()
    }

    /// The trimmed value of an attribute, if it is there.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.trim())
    }
}

/// The encoding that an XML declaration at the start names, in lower case.
fn declared_encoding(bytes: &[u8]) -> Option<String> {
    let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let rest = bytes.get(start..)?;
    if !rest.starts_with(b"<?xml") {
        return None;
    }
    let head = rest.get(..rest.len().min(256))?;
    let end = head.windows(2).position(|pair| pair == b"?>")?;
    let head = std::str::from_utf8(head.get(..end)?).ok()?;
    let value = head
        .split_once("encoding")?
        .1
        .trim_start()
        .strip_prefix('=')?
        .trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let value = value.get(1..)?;
    Some(value.split(quote).next()?.trim().to_ascii_lowercase())
}

struct Parser<'a> {
    reader: Reader<&'a [u8]>,
    source: &'a Source<'a>,
    limits: Limits,
    open: Vec<Element<'a>>,
    /// Declared prefixes with the depth of their element and their namespace.
    scope: Vec<(usize, &'a str, Cow<'a, str>)>,
    root: Option<(Element<'a>, Option<String>)>,
    namespace: Option<String>,
    elements: usize,
    declaration: bool,
    leading_whitespace: bool,
    undeclared: Vec<(String, String)>,
}

impl<'a> Parser<'a> {
    fn new(source: &'a Source<'a>, limits: Limits) -> Self {
        let mut reader = Reader::from_str(&source.text);
        reader.config_mut().expand_empty_elements = false;
        reader.config_mut().check_end_names = true;
        Self {
            reader,
            source,
            limits,
            open: Vec::new(),
            scope: Vec::new(),
            root: None,
            namespace: None,
            elements: 0,
            declaration: false,
            leading_whitespace: source.text.starts_with(char::is_whitespace),
            undeclared: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<(), XmlError> {
        loop {
            let before = self.position();
            match self.reader.read_event() {
                Ok(Event::Start(tag)) => self.open(&tag, before)?,
                Ok(Event::Empty(tag)) => {
                    self.open(&tag, before)?;
                    self.close();
                }
                Ok(Event::End(_)) => self.close(),
                Ok(Event::Text(text)) => self.text(text.into_inner(), before)?,
                Ok(Event::CData(text)) => self.text(text.into_inner(), before)?,
                Ok(Event::GeneralRef(reference)) => {
                    let character = self.reference(&reference, before)?;
                    self.text(Cow::Owned(character), before)?;
                }
                Ok(Event::Decl(_)) => self.declaration = true,
                Ok(Event::Comment(_) | Event::PI(_)) => {}
                Ok(Event::DocType(_)) => {
                    return Err(XmlError::Doctype {
                        place: self.place(before),
                    });
                }
                Ok(Event::Eof) => return self.end(),
                Err(error) => return Err(self.fault(&error)),
            }
        }
    }

    fn open(&mut self, tag: &BytesStart<'a>, offset: usize) -> Result<(), XmlError> {
        if self.root.is_some() {
            return Err(self.malformed("a second root element", offset));
        }
        self.count(
            self.open.len() >= self.limits.depth,
            "levels of elements",
            self.limits.depth,
            offset,
        )?;
        self.elements += 1;
        self.count(
            self.elements > self.limits.elements,
            "elements",
            self.limits.elements,
            offset,
        )?;
        let depth = self.open.len();
        let qualified_len = tag.name().0.len();
        // The tag once more, as part of the text: what the reader lends out of it lives only as long as the event.
        let content = self
            .source
            .text
            .get(offset + 1..)
            .and_then(|rest| rest.get(..tag.len()));
        let content = content.filter(|content| *content == &**tag);
        let content = content.ok_or_else(|| self.malformed("a tag that is not where it was read", offset))?;
        let mut attributes = Vec::new();
        for attribute in Attributes::new(content, qualified_len).with_checks(false) {
            let attribute = attribute.map_err(|error| self.malformed(&error.to_string(), offset))?;
            let seen = attributes.len() + self.scope.iter().filter(|(at, ..)| *at == depth).count();
            self.count(
                seen >= self.limits.attributes,
                "attributes of one element",
                self.limits.attributes,
                offset,
            )?;
            let unescaped = match &attribute.value {
                Cow::Borrowed(raw) => unescape_with(raw, resolve_xml_entity),
                Cow::Owned(raw) => unescape_with(raw, resolve_xml_entity).map(|value| Cow::Owned(value.into_owned())),
            };
            let value = unescaped.map_err(|_| XmlError::Entity {
                name: bad_reference(&attribute.value),
                place: self.place(offset),
            })?;
            self.legal(&value, offset)?;
            let key: &'a str = attribute.key.0;
            match key.split_once(':') {
                None if key == "xmlns" => self.scope.push((depth, "", value)),
                Some(("xmlns", prefix)) => self.scope.push((depth, prefix, value)),
                _ => attributes.push((key, value)),
            }
            self.count(
                self.scope.len() > self.limits.prefixes,
                "namespace declarations in scope",
                self.limits.prefixes,
                offset,
            )?;
        }
        for (key, _) in &mut attributes {
            *key = self.local(key);
        }
        let qualified = content.get(..qualified_len).unwrap_or_default();
        let name = self.local(qualified);
        if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return Err(self.malformed("a tag without a proper name", offset));
        }
        if depth == 0 {
            let prefix = qualified.split_once(':').map_or("", |(prefix, _)| prefix);
            self.namespace = self
                .scope
                .iter()
                .rev()
                .find(|(_, declared, _)| *declared == prefix)
                .map(|(.., uri)| uri.clone().into_owned());
        }
        self.open.push(Element {
            name,
            attributes,
            text: Cow::Borrowed(""),
            children: Vec::new(),
            offset: offset + self.source.skipped,
        });
        Ok(())
    }

    /// The local name; a prefix that nothing declares is noted once.
    fn local(&mut self, qualified: &'a str) -> &'a str {
        let Some((prefix, local)) = qualified.split_once(':') else {
            return qualified;
        };
        let known = prefix == "xml" || self.scope.iter().any(|(_, declared, _)| *declared == prefix);
        let noted = self.undeclared.len() >= 8 || self.undeclared.iter().any(|(p, _)| p == prefix);
        if !known && !noted {
            self.undeclared.push((prefix.to_owned(), qualified.to_owned()));
        }
        local
    }

    fn close(&mut self) {
        // The reader has checked that each end tag has its start tag.
        let Some(done) = self.open.pop() else { return };
        let depth = self.open.len();
        self.scope.retain(|(at, ..)| *at < depth);
        match self.open.last_mut() {
            Some(parent) => parent.children.push(done),
            None => self.root = Some((done, self.namespace.take())),
        }
    }

    fn text(&mut self, piece: Cow<'a, str>, offset: usize) -> Result<(), XmlError> {
        let blank = piece.trim().is_empty();
        self.legal(&piece, offset)?;
        let limit = self.limits.text;
        let Some(element) = self.open.last_mut() else {
            return if blank {
                Ok(())
            } else {
                Err(self.malformed("text outside the root element", offset))
            };
        };
        if element.text.is_empty() {
            // White space between elements is layout; white space after text belongs to it.
            if !blank {
                element.text = piece;
            }
        } else {
            element.text.to_mut().push_str(&piece);
        }
        let long = element.text.len() > limit;
        self.count(long, "bytes of text in one element", limit, offset)
    }

    fn reference(&self, reference: &BytesRef<'_>, offset: usize) -> Result<String, XmlError> {
        let name: &str = reference.as_ref();
        let character = match reference.resolve_char_ref() {
            Ok(Some(character)) => Some(character.to_string()),
            Ok(None) => resolve_xml_entity(name).map(str::to_owned),
            Err(_) => None,
        };
        character
            .filter(|text| !text.contains(forbidden))
            .ok_or_else(|| XmlError::Entity {
                name: shortened(name),
                place: self.place(offset),
            })
    }

    fn end(&self) -> Result<(), XmlError> {
        if self.open.is_empty() {
            return Ok(());
        }
        Err(XmlError::Truncated {
            place: self.place(self.source.text.len()),
        })
    }

    fn fault(&self, error: &quick_xml::Error) -> XmlError {
        use quick_xml::errors::{IllFormedError, SyntaxError};
        let offset = usize::try_from(self.reader.error_position()).unwrap_or(0);
        match error {
            // The reader meets these only at the end of the input.
            quick_xml::Error::Syntax(kind) if *kind != SyntaxError::InvalidBangMarkup => XmlError::Truncated {
                place: self.place(self.source.text.len()),
            },
            quick_xml::Error::IllFormed(IllFormedError::UnclosedReference)
                if self.position() >= self.source.text.len() =>
            {
                XmlError::Truncated {
                    place: self.place(self.source.text.len()),
                }
            }
            quick_xml::Error::Syntax(SyntaxError::InvalidBangMarkup)
                if self.source.text.len() < offset + "<![CDATA[".len() =>
            {
                XmlError::Truncated {
                    place: self.place(self.source.text.len()),
                }
            }
            other => self.malformed(&other.to_string(), offset),
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.source.byte_order_mark {
            findings.push(Finding::new(
                FindingCode::ByteOrderMark,
                "document",
                "it starts with a byte-order mark",
            ));
        }
        if self.leading_whitespace {
            findings.push(Finding::new(
                FindingCode::LeadingWhitespace,
                "document",
                "white space stands before the first markup",
            ));
        }
        if !self.declaration {
            findings.push(Finding::new(
                FindingCode::XmlDeclarationMissing,
                "document",
                "there is no <?xml ...?> line; version 1.0 and UTF-8 were assumed",
            ));
        }
        findings.extend(self.undeclared.iter().map(|(prefix, name)| {
            Finding::new(
                FindingCode::PrefixUndeclared,
                name.clone(),
                format!("prefix {prefix:?} is never declared; the local name was used"),
            )
        }));
        findings
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    fn place(&self, offset: usize) -> Place {
        let names: Vec<&str> = self.open.iter().map(|element| element.name).collect();
        Place {
            path: names.join("/"),
            offset: offset.saturating_add(self.source.skipped),
        }
    }

    fn malformed(&self, detail: &str, offset: usize) -> XmlError {
        XmlError::Malformed {
            detail: shortened(detail),
            place: self.place(offset),
        }
    }

    fn count(&self, exceeded: bool, what: &'static str, limit: usize, offset: usize) -> Result<(), XmlError> {
        if exceeded {
            Err(XmlError::Limit {
                what,
                limit,
                place: self.place(offset),
            })
        } else {
            Ok(())
        }
    }

    fn legal(&self, text: &str, offset: usize) -> Result<(), XmlError> {
        // Control characters are single bytes in UTF-8, so bytes can be looked at: a block without a way out in its middle
        // is looked at in a few instructions.
        const BLOCK: usize = 64;
        let spoiled = |block: &&[u8]| block.iter().fold(false, |bad, byte| bad | forbidden(char::from(*byte)));
        let byte = text
            .as_bytes()
            .chunks(BLOCK)
            .find(spoiled)
            .and_then(|block| block.iter().find(|byte| forbidden(char::from(**byte))));
        match byte {
            None => Ok(()),
            Some(byte) => Err(self.malformed(&format!("control character 0x{byte:02x}"), offset)),
        }
    }
}

/// The name of the first reference in a text that is not one of XML's five, for an error message.
fn bad_reference(text: &str) -> String {
    let names = text
        .split('&')
        .skip(1)
        .map(|rest| rest.split(';').next().unwrap_or(rest));
    let bad = |name: &&str| {
        resolve_xml_entity(name).is_none() && !matches!(BytesRef::new(*name).resolve_char_ref(), Ok(Some(_)))
    };
    shortened(names.clone().find(bad).unwrap_or_default())
}

/// Characters below space that XML 1.0 does not allow.
fn forbidden(character: char) -> bool {
    (character < ' ') & (character != '\t') & (character != '\n') & (character != '\r')
}

fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: Limits = Limits {
        bytes: 4096,
        depth: 4,
        elements: 10,
        attributes: 3,
        text: 16,
        prefixes: 4,
    };

    fn error(text: &str) -> XmlError {
        Source::decode(text.as_bytes(), &SMALL)
            .unwrap()
            .parse(&SMALL)
            .unwrap_err()
    }

    fn codes(bytes: &[u8]) -> Vec<FindingCode> {
        let source = Source::decode(bytes, &SMALL).unwrap();
        source
            .parse(&SMALL)
            .unwrap()
            .findings
            .iter()
            .map(|finding| finding.code)
            .collect()
    }

    #[test]
    fn text_attributes_and_children_are_read_by_local_name() {
        let text = "<?xml version='1.0'?><?xml-model href='x'?>\r\n<p:a xmlns:p='urn:x' p:k=' 1 &lt; 2 '>x &amp;&#65;<![CDATA[<]]><b/><b>2</b></p:a>\r\n";
        let source = Source::decode(text.as_bytes(), &SMALL).unwrap();
        let document = source.parse(&SMALL).unwrap();
        assert_eq!(document.namespace.as_deref(), Some("urn:x"));
        assert_eq!(document.root.name, "a");
        assert_eq!(document.root.attribute("k"), Some("1 < 2"));
        assert_eq!(document.root.trimmed(), "x &A<");
        assert_eq!(document.root.children("b").count(), 2);
        assert_eq!(document.root.children[1].trimmed(), "2");
        assert!(document.findings.is_empty());
    }

    #[test]
    fn odd_forms_are_read_and_noted() {
        assert_eq!(codes(b"<a/>"), [FindingCode::XmlDeclarationMissing]);
        assert_eq!(
            codes(b"\xef\xbb\xbf \r\n<a><q:b q:c='1'/></a>"),
            [
                FindingCode::ByteOrderMark,
                FindingCode::LeadingWhitespace,
                FindingCode::XmlDeclarationMissing,
                FindingCode::PrefixUndeclared
            ]
        );
    }

    #[test]
    fn a_prefix_is_known_only_inside_the_element_that_declares_it() {
        assert!(codes(b"<?xml version='1.0'?><a><b xmlns:p='u'><p:c/></b></a>").is_empty());
        assert_eq!(
            codes(b"<?xml version='1.0'?><a><b xmlns:p='u'/><p:c/></a>"),
            [FindingCode::PrefixUndeclared]
        );
    }

    #[test]
    fn utf_16_and_declared_latin_1_are_decoded() {
        let mut wide = vec![0xff, 0xfe];
        wide.extend("<a>ä</a>".encode_utf16().flat_map(u16::to_le_bytes));
        let source = Source::decode(&wide, &SMALL).unwrap();
        assert_eq!(source.parse(&SMALL).unwrap().root.text, "ä");
        let latin = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe4</a>";
        let source = Source::decode(latin, &SMALL).unwrap();
        assert_eq!(source.parse(&SMALL).unwrap().root.text, "ä");
    }

    #[test]
    fn unknown_encodings_and_bytes_that_are_no_text_are_refused_with_their_place() {
        let error = Source::decode(b"<?xml version='1.0' encoding='EBCDIC'?><a/>", &SMALL);
        assert!(error.unwrap_err().to_string().contains("ebcdic"));
        let error = Source::decode(b"<a>\xff</a>", &SMALL).unwrap_err();
        assert!(matches!(error, XmlError::Encoding { offset: 3, .. }), "{error}");
    }

    #[test]
    fn document_types_and_their_entities_are_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY b 'bb'><!ENTITY c '&b;&b;'>]><a>&c;</a>";
        assert!(matches!(error(bomb), XmlError::Doctype { .. }));
        assert!(matches!(error("<a>&nbsp;</a>"), XmlError::Entity { .. }));
        let attribute = error("<a b='1 &amp; &x; 2'/>").to_string();
        assert!(attribute.contains("the reference &x; at byte 0"), "{attribute}");
        assert!(matches!(error("<a>&#0;</a>"), XmlError::Entity { .. }));
        assert!(matches!(error("<a>&#1;</a>"), XmlError::Entity { .. }));
        assert!(matches!(error("<a>\u{1}</a>"), XmlError::Malformed { .. }));
    }

    #[test]
    fn every_limit_is_refused_by_name() {
        for (text, what) in [
            ("<a><a><a><a><a/></a></a></a></a>".to_owned(), "levels of elements"),
            (format!("<a>{}</a>", "<b/>".repeat(10)), "elements"),
            ("<a b='1' c='1' d='1' e='1'/>".to_owned(), "attributes of one element"),
            (format!("<a>{}</a>", "x".repeat(17)), "bytes of text in one element"),
        ] {
            match error(&text) {
                XmlError::Limit { what: found, .. } => assert_eq!(found, what),
                other => panic!("{text}: {other}"),
            }
        }
        let large = vec![b' '; 5000];
        assert!(matches!(Source::decode(&large, &SMALL), Err(XmlError::TooLarge { .. })));
    }

    #[test]
    fn a_cut_document_names_the_open_element_and_the_place() {
        for cut in [
            "<a><b>te",
            "<a><b>",
            "<a><b",
            "<a><b x='",
            "<a><b><!-- ",
            "<a><b><![CD",
            "<a><b>&am",
        ] {
            match error(cut) {
                XmlError::Truncated { place } => {
                    assert!(place.path.starts_with('a'), "{cut}: {place}");
                    assert_eq!(place.offset, cut.len(), "{cut}");
                }
                other => panic!("{cut}: {other}"),
            }
        }
        assert!(matches!(error(" <!-- nothing --> "), XmlError::NoRoot));
    }

    #[test]
    fn wrong_nesting_and_stray_text_are_refused() {
        for text in ["<a></b>", "<a/><b/>", "x<a/>", "<a/>x", "</a>", "<a b></a>", "< a/>"] {
            assert!(matches!(error(text), XmlError::Malformed { .. }), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(source) = Source::decode(&bytes, &SMALL) {
                let _ = source.parse(&SMALL);
            }
        }

        #[test]
        fn arbitrary_markup_never_panics(text in r#"([<>/&;=!?'" \n]|a|b:c|<a>|</a>|<!\[CDATA\[|\]\]>|<!--|-->|&#x?|xmlns:b=){0,40}"#) {
            if let Ok(source) = Source::decode(text.as_bytes(), &SMALL) {
                let _ = source.parse(&SMALL);
            }
        }
    }
}
