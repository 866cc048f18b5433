//! Text to a tree of elements, for SGML without closing tags and XML alike.
//!
//! How an element ends: one with text ends at the next tag. One without text ends at its closing tag; when an outer
//! element closes first, it was an empty leaf and what seemed to be inside are its siblings. Elements that are known
//! to hold others must be closed, except `STMTTRN`, which the next one ends as well. The tree is flat, in the order of
//! the file, each node with the index behind its last descendant.

use super::{MAX_DEPTH, MAX_ELEMENTS, MAX_TEXT, Problem, text};

/// Longer names are no names.
const MAX_NAME: usize = 64;

/// Elements whose end must be in the file: if it is not, part of the file is missing or misunderstood.
const AGGREGATES: [&str; 24] = [
    "OFX",
    "SIGNONMSGSRSV1",
    "SONRS",
    "STATUS",
    "BANKMSGSRSV1",
    "CREDITCARDMSGSRSV1",
    "INVSTMTMSGSRSV1",
    "STMTTRNRS",
    "CCSTMTTRNRS",
    "INVSTMTTRNRS",
    "STMTRS",
    "CCSTMTRS",
    "INVSTMTRS",
    "BANKACCTFROM",
    "CCACCTFROM",
    "INVACCTFROM",
    "BANKTRANLIST",
    "INVTRANLIST",
    "INVBANKTRAN",
    "STMTTRN",
    "LEDGERBAL",
    "AVAILBAL",
    "INVBAL",
    "INVPOSLIST",
];
/// The one that holds all others; what is outside of it does not count.
const ROOT: &str = "OFX";
/// The one that may lack its end.
const ROW: &str = "STMTTRN";

#[derive(Clone, Copy)]
struct Node {
    /// Where its tag begins.
    offset: u32,
    name_length: u8,
    /// Its raw text, if it is a leaf.
    text: (u32, u32),
    /// Index behind its last descendant.
    end: u32,
}

/// The elements of every `OFX` element in a text.
pub struct Tree<'a> {
    source: &'a str,
    nodes: Vec<Node>,
}

/// One element of a tree.
#[derive(Clone, Copy)]
pub struct Element<'t> {
    tree: &'t Tree<'t>,
    index: usize,
}

impl<'a> Tree<'a> {
    /// Reads a text; what is outside of `<OFX>` … `</OFX>` does not count.
    pub fn parse(source: &'a str) -> Result<Self, Problem> {
        let mut builder = Builder {
            source,
            nodes: Vec::new(),
            open: Vec::new(),
            text: None,
        };
        let mut position = 0;
        while let Some(found) = source[position..].find('<') {
            let start = position + found;
            position = builder.markup(start)?;
        }
        if let Some(&index) = builder.open.last() {
            let message = format!(
                "<{}> is not closed; the file is cut off",
                builder.name(index)
            );
            return Err(Problem::at(builder.offset(index), message));
        }
        if builder.nodes.is_empty() {
            return Err(Problem::at(
                0,
                "this is not an OFX file: there is no <OFX> element",
            ));
        }
        Ok(Self {
            source,
            nodes: builder.nodes,
        })
    }

    /// The number of elements; their indices are below it.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The element with an index, in the order of the file.
    pub fn element(&self, index: usize) -> Element<'_> {
        Element { tree: self, index }
    }

    /// All elements in the order of the file.
    pub fn elements(&self) -> impl Iterator<Item = Element<'_>> {
        (0..self.len()).map(|index| self.element(index))
    }
}

impl<'t> Element<'t> {
    /// Its name as written.
    pub fn name(self) -> &'t str {
        name(self.tree.source, self.node())
    }

    /// Whether it has this name, in any case.
    pub fn is(self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }

    /// Where its tag begins.
    pub fn offset(self) -> usize {
        self.node().offset as usize
    }

    /// Its index.
    pub fn start(self) -> usize {
        self.index
    }

    /// The index behind its last descendant.
    pub fn end(self) -> usize {
        self.node().end as usize
    }

    /// Its children in the order of the file.
    pub fn children(self) -> impl Iterator<Item = Element<'t>> {
        let mut index = self.index + 1;
        std::iter::from_fn(move || {
            let child = (index < self.end()).then(|| self.tree.element(index))?;
            index = child.end();
            Some(child)
        })
    }

    /// The first child with this name.
    pub fn child(self, name: &str) -> Option<Element<'t>> {
        self.children().find(|child| child.is(name))
    }

    /// The first child with this name and a text, with its text.
    pub fn value(self, name: &str) -> Option<(Element<'t>, String)> {
        self.children()
            .filter(|child| child.is(name))
            .map(|child| (child, child.text()))
            .find(|(_, text)| !text.is_empty())
    }

    /// Its text: entities and CDATA resolved, trimmed, lines joined, no control characters. Empty for an aggregate.
    pub fn text(self) -> String {
        let (start, end) = self.node().text;
        let raw = &self.tree.source[start as usize..end as usize];
        text::of(raw)
    }

    fn node(self) -> Node {
        self.tree.nodes[self.index]
    }
}

fn name(source: &str, node: Node) -> &str {
    let start = node.offset as usize + 1;
    &source[start..start + usize::from(node.name_length)]
}

struct Builder<'a> {
    source: &'a str,
    nodes: Vec<Node>,
    /// Indices of the open elements, outermost first.
    open: Vec<usize>,
    /// Where the text of the innermost open element begins, until a child or its end has been seen.
    text: Option<usize>,
}

impl<'a> Builder<'a> {
    /// Takes what begins with the `<` at `start`; answers where to go on.
    fn markup(&mut self, start: usize) -> Result<usize, Problem> {
        let rest = &self.source[start + 1..];
        let may_count = match rest.as_bytes() {
            [b'!', ..] => true,
            [b'/' | b'a'..=b'z' | b'A'..=b'Z', ..] if !self.open.is_empty() => true,
            bytes => bytes
                .get(..ROOT.len())
                .is_some_and(|name| name.eq_ignore_ascii_case(ROOT.as_bytes())),
        };
        if !may_count {
            return Ok(start + 1);
        }
        for (opening, closing) in [("![CDATA[", "]]>"), ("!--", "-->")] {
            if let Some(inside) = rest.strip_prefix(opening) {
                let Some(length) = inside.find(closing) else {
                    let message = format!("<{opening} is not closed with {closing}");
                    return Err(Problem::at(start, message));
                };
                return Ok(start + 1 + opening.len() + length + closing.len());
            }
        }
        if let Some(closing) = rest.strip_prefix('/') {
            let name = leading_name(closing);
            let tail = closing[name.len()..].trim_ascii_start();
            if !name.is_empty() && tail.starts_with('>') {
                let behind = self.source.len() - tail.len() + 1;
                self.close(name, start, behind)?;
                return Ok(behind);
            }
            return Ok(start + 1);
        }
        let name = leading_name(rest);
        match (name.is_empty(), tag_end(&rest[name.len()..])) {
            (false, Some((length, empty))) => {
                let behind = start + 1 + name.len() + length;
                self.open(name, start, behind, empty)?;
                Ok(behind)
            }
            // Not a tag, so a `<` that should have been escaped.
            _ => Ok(start + 1),
        }
    }

    fn open(
        &mut self,
        name: &str,
        start: usize,
        behind: usize,
        empty: bool,
    ) -> Result<(), Problem> {
        if self.open.is_empty() && !name.eq_ignore_ascii_case(ROOT) {
            return Ok(());
        }
        if self.take_text(start)? {
            self.end_innermost(self.open.len() - 1)?;
        }
        if name.eq_ignore_ascii_case(ROW)
            && let Some(depth) = self.depth_of(ROW)
        {
            self.end_innermost(depth)?;
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(Problem::at(
                start,
                format!("more than {MAX_DEPTH} elements are nested"),
            ));
        }
        if self.nodes.len() >= MAX_ELEMENTS {
            return Err(Problem::at(
                start,
                format!("there are more than {MAX_ELEMENTS} elements"),
            ));
        }
        let index = self.nodes.len();
        self.nodes.push(Node {
            offset: index_of(start),
            name_length: u8::try_from(name.len()).expect("names are at most 64 bytes"),
            text: (0, 0),
            end: index_of(index + 1),
        });
        if empty {
            self.text = None;
        } else {
            self.open.push(index);
            self.text = Some(behind);
        }
        Ok(())
    }

    fn close(&mut self, name: &str, start: usize, behind: usize) -> Result<(), Problem> {
        if self.open.is_empty() {
            return Ok(());
        }
        let is_leaf = self.take_text(start)?;
        if let Some(depth) = self.depth_of(name) {
            self.end_innermost(depth)?;
        } else if !is_leaf && self.text.is_some() {
            // The end of something that never began: what follows may still be the text. In the midst of a text it
            // belongs to the text.
            self.text = Some(behind);
        }
        Ok(())
    }

    /// Gives the innermost open element the text before `end`; answers whether that makes it a leaf.
    fn take_text(&mut self, end: usize) -> Result<bool, Problem> {
        let (Some(start), Some(&index)) = (self.text, self.open.last()) else {
            return Ok(false);
        };
        let raw = &self.source[start..end];
        let trimmed = raw.trim_start();
        let begin = start + raw.len() - trimmed.len();
        let trimmed = trimmed.trim_end();
        if trimmed.is_empty() || is_aggregate(self.name(index)) {
            return Ok(false);
        }
        if trimmed.len() > MAX_TEXT {
            let message = format!("{} is longer than {MAX_TEXT} bytes", self.name(index));
            return Err(Problem::at(self.offset(index), message));
        }
        self.text = Some(begin);
        self.nodes[index].text = (index_of(begin), index_of(begin + trimmed.len()));
        Ok(true)
    }

    /// Ends the open element at `depth`, and before it those inside of it.
    fn end_innermost(&mut self, depth: usize) -> Result<(), Problem> {
        while self.open.len() > depth + 1 {
            let index = self.open.pop().expect("it is deeper than another one");
            let name = self.name(index);
            if name.eq_ignore_ascii_case(ROW) {
                self.nodes[index].end = index_of(self.nodes.len());
            } else if is_aggregate(name) {
                return Err(Problem::at(
                    self.offset(index),
                    format!("<{name}> is not closed"),
                ));
            }
        }
        if let Some(index) = self.open.pop() {
            self.nodes[index].end = index_of(self.nodes.len());
        }
        self.text = None;
        Ok(())
    }

    fn depth_of(&self, name: &str) -> Option<usize> {
        self.open
            .iter()
            .rposition(|&index| self.name(index).eq_ignore_ascii_case(name))
    }

    fn name(&self, index: usize) -> &'a str {
        name(self.source, self.nodes[index])
    }

    fn offset(&self, index: usize) -> usize {
        self.nodes[index].offset as usize
    }
}

fn is_aggregate(name: &str) -> bool {
    AGGREGATES
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

fn index_of(position: usize) -> u32 {
    u32::try_from(position).expect("a decoded file is at most three times 32 MiB")
}

/// The element name that a text begins with; empty if there is none.
fn leading_name(text: &str) -> &str {
    let bytes = text.as_bytes();
    let length = bytes
        .iter()
        .take(MAX_NAME + 1)
        .take_while(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
        .count();
    let is_name = length <= MAX_NAME && bytes.first().is_some_and(u8::is_ascii_alphabetic);
    if is_name { &text[..length] } else { "" }
}

/// What follows the name in a tag: its length with the `>`, and whether the element is empty (`<X/>`). `None` when this
/// is no tag. Never looks beyond the next `<`, so that a file of half tags takes linear time.
fn tag_end(tail: &str) -> Option<(usize, bool)> {
    let end = tail.find(['>', '<'])?;
    let inside = &tail[..end];
    let is_tag = tail[end..].starts_with('>')
        && (matches!(inside.trim_ascii(), "" | "/")
            || (inside.starts_with(|c: char| c.is_ascii_whitespace()) && inside.contains('=')));
    is_tag.then_some((end + 1, inside.ends_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints a tree as `NAME(children)` and `NAME=text`.
    fn print(source: &str) -> String {
        fn print_element(element: Element) -> String {
            let children: Vec<_> = element.children().map(print_element).collect();
            match (children.is_empty(), element.text()) {
                (true, text) if text.is_empty() => element.name().to_owned(),
                (true, text) => format!("{}={text}", element.name()),
                (false, _) => format!("{}({})", element.name(), children.join(" ")),
            }
        }
        match Tree::parse(source) {
            Ok(tree) => print_element(tree.element(0)),
            Err(problem) => problem.message,
        }
    }

    #[test]
    fn sgml_and_xml_give_the_same_tree() {
        let tree = "OFX(STMTTRN(NAME=a MEMO INTU.BID=1) STMTTRN(NAME=b))";
        for source in [
            "<OFX><STMTTRN><NAME>a</NAME><MEMO></MEMO><INTU.BID>1</INTU.BID></STMTTRN><STMTTRN><NAME>b</NAME></STMTTRN></OFX>",
            "<OFX><STMTTRN><NAME>a</NAME><MEMO/><INTU.BID>1</INTU.BID></STMTTRN><STMTTRN><NAME>b</NAME></STMTTRN></OFX>",
            "<OFX>\n<STMTTRN>\n<NAME>a\n<MEMO>\n<INTU.BID>1\n</STMTTRN>\n<STMTTRN><NAME> b\n</STMTTRN></OFX>\n",
            "HEADER:1 <OFX><STMTTRN><NAME>a<MEMO></MEMO><INTU.BID>1<STMTTRN><NAME>b</OFX>",
            "<?xml?><!-- <OFX> --><OFX x=\"1\" ><STMTTRN ><NAME a='b'>a</NAME ><!-- c --><MEMO /><INTU.BID>1</STMTTRN><STMTTRN></X><NAME>b</STMTTRN></OFX> trailing <b>",
        ] {
            assert_eq!(print(source), tree, "{source}");
        }
    }

    #[test]
    fn what_looks_like_a_tag_and_is_none_belongs_to_the_text() {
        for (raw, text) in [
            ("a < b > c", "a < b > c"),
            ("a <b c> d", "a <b c> d"),
            ("me <me@example.com>", "me <me@example.com>"),
            ("x</Y>z", "x</Y>z"),
            ("<![CDATA[</NAME>]]>", "</NAME>"),
            ("<", "<"),
            ("</", "</"),
        ] {
            let source = format!("<OFX><NAME>{raw}</NAME></OFX>");
            assert_eq!(print(&source), format!("OFX(NAME={text})"));
        }
    }

    #[test]
    fn what_is_cut_off_or_out_of_bounds_is_refused() {
        let deep = format!("<OFX>{}", "<A>".repeat(MAX_DEPTH));
        let long = format!("<OFX><A>{}</A></OFX>", "x".repeat(MAX_TEXT + 1));
        for (source, message) in [
            ("", "this is not an OFX file: there is no <OFX> element"),
            (
                "<html><body>Please log in</body></html>",
                "this is not an OFX file: there is no <OFX> element",
            ),
            (
                "<OFX><STMTTRN><NAME>a",
                "<NAME> is not closed; the file is cut off",
            ),
            (
                "<OFX></STMTTRN>",
                "<OFX> is not closed; the file is cut off",
            ),
            ("<OFX><STATUS><CODE>0</OFX>", "<STATUS> is not closed"),
            (
                "<OFX><A><![CDATA[x</A></OFX>",
                "<![CDATA[ is not closed with ]]>",
            ),
            ("<OFX><!-- x></OFX>", "<!-- is not closed with -->"),
            (&deep, "more than 64 elements are nested"),
            (&long, "A is longer than 16384 bytes"),
        ] {
            assert_eq!(print(source), message);
        }
    }
}
