use std::{collections::HashSet, fmt::Write as _};

use async_graphql_parser::types::{Selection, SelectionSet};

use super::*;

/// As graphql-js asked before 2021.
const CLASSIC_INTROSPECTION: &str = "
  query IntrospectionQuery {
    __schema {
      queryType { name }
      mutationType { name }
      subscriptionType { name }
      types { ...FullType }
      directives { name description locations args { ...InputValue } }
    }
  }
  fragment FullType on __Type {
    kind
    name
    description
    fields(includeDeprecated: true) {
      name
      description
      args { ...InputValue }
      type { ...TypeRef }
      isDeprecated
      deprecationReason
    }
    inputFields { ...InputValue }
    interfaces { ...TypeRef }
    enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
    possibleTypes { ...TypeRef }
  }
  fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
  fragment TypeRef on __Type {
    kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType {
    kind name ofType { kind name ofType { kind name } } } } } } }
  }";

/// As graphql-js asks with every option on, and as deep as its newest release.
const FULL_INTROSPECTION: &str = "
  query IntrospectionQuery {
    __schema {
      description
      queryType { name kind }
      mutationType { name kind }
      subscriptionType { name kind }
      types { ...FullType }
      directives {
        name
        description
        isRepeatable
        locations
        args(includeDeprecated: true) { ...InputValue }
      }
    }
  }
  fragment FullType on __Type {
    kind
    name
    description
    specifiedByURL
    isOneOf
    fields(includeDeprecated: true) {
      name
      description
      args(includeDeprecated: true) { ...InputValue }
      type { ...TypeRef }
      isDeprecated
      deprecationReason
    }
    inputFields(includeDeprecated: true) { ...InputValue }
    interfaces { ...TypeRef }
    enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
    possibleTypes { ...TypeRef }
  }
  fragment InputValue on __InputValue {
    name
    description
    type { ...TypeRef }
    defaultValue
    isDeprecated
    deprecationReason
  }
  fragment TypeRef on __Type {
    kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType {
    kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } }
  }";

/// In little stack, so that a guard that lets recursion through aborts the tests. The platform may hand out the larger
/// stack of a thread that has ended, so that the rest of an ordinary one is filled instead.
fn in_half_a_mebibyte<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    #[expect(
        clippy::large_stack_arrays,
        reason = "filling the stack is the purpose"
    )]
    fn above_a_ballast<T>(run: impl FnOnce() -> T) -> T {
        let ballast = [0_u8; 1_536 * 1_024];
        std::hint::black_box(&ballast);
        let result = run();
        std::hint::black_box(&ballast);
        result
    }
    std::thread::Builder::new()
        .stack_size(2 * 1_024 * 1_024)
        .spawn(|| above_a_ballast(run))
        .expect("a thread")
        .join()
        .expect("no panic")
}

/// `accepted`, or the limit that rejects the document, or `parse`.
fn verdict(document: impl Into<String>) -> &'static str {
    let document = document.into();
    let rejection = match in_half_a_mebibyte(move || inspect(&document, None).map(|_| ())) {
        Ok(()) => return "accepted",
        Err(rejection) => rejection,
    };
    assert!(rejection.to_string().len() < 200, "{rejection}");
    match rejection {
        Rejection::Limit { limit, .. } => limit,
        Rejection::Parse { .. } => "parse",
    }
}

fn wrapped(open: &str, inner: &str, close: &str, times: usize) -> String {
    open.repeat(times) + inner + &close.repeat(times)
}

/// Fragments F0 … that each spread the next `times` times.
fn fan_out(fragments: usize, times: usize) -> String {
    let mut document = "{ ...F0 }".to_owned();
    for fragment in 0..fragments {
        let next = format!("...F{} ", fragment + 1).repeat(times);
        let body = if fragment + 1 == fragments {
            "id"
        } else {
            &next
        };
        write!(document, " fragment F{fragment} on Query {{ {body} }}").expect("a string");
    }
    document
}

#[test]
fn the_standard_introspection_queries_pass() {
    for query in [CLASSIC_INTROSPECTION, FULL_INTROSPECTION] {
        let inspected = inspect(query, Some("IntrospectionQuery")).expect("within the limits");
        assert_eq!(inspected.operation, Some(OperationType::Query));
        assert_eq!(inspected.anonymous, Anonymous::Introspection);
        assert_eq!(inspected.root_fields, 1);
    }
}

#[test]
fn each_limit_accepts_the_most_and_rejects_one_more() {
    let lists = |depth| format!("{{ a(x: {}) }}", wrapped("[", "1", "]", depth));
    let objects = |depth| format!("{{ a(x: {}) }}", wrapped("{ y: ", "1", "}", depth));
    let inline = |depth| wrapped("{ ...", "{ a }", "}", depth);
    let types = |depth| {
        let types = wrapped("[", "Int", "]", depth);
        format!("query ($x: {types}) {{ a }}")
    };
    let fields = |depth| wrapped("{ a ", "", "}", depth);
    let tokens = |numbers| format!("{{ a(x: [{}]) }}", "1 ".repeat(numbers));
    let directives = |more| format!("{{ a {} }}", "@b ".repeat(more));
    let aliases = |more| format!("{{ {} }}", "a: b ".repeat(more));
    let operations = |more: usize| {
        let named = |number| format!("query q{number} {{ a }} ");
        (0..more).map(named).collect::<String>()
    };
    let sized = |size: usize| format!("{{ a }} #{}", "x".repeat(size - 7));
    let nodes = |spreads| {
        let fields = "a ".repeat(99);
        let spreads = "...F ".repeat(spreads);
        format!("{{ {spreads} }} fragment F on Query {{ {fields} }}")
    };
    let fragmented = |depth| {
        let inner = inline(depth);
        format!("{{ ...A }} fragment A on Query {{ ...B ... {inner} }} fragment B on Query {inner}")
    };
    let types_of_fields = |depth| {
        let inner = wrapped("fields { type { ", "name", "} }", depth);
        format!("{{ __schema {{ types {{ {inner} }} }} }}")
    };
    let introspections = |more| format!("{{ {} }}", "__schema { description } ".repeat(more));
    for (most, one_more, limit) in [
        (lists(30), lists(31), "nesting"),
        (objects(30), objects(31), "nesting"),
        (types(31), types(32), "nesting"),
        (inline(31), inline(32), "nesting"),
        (fragmented(29), fragmented(30), "nesting"),
        (fields(15), fields(16), "depth"),
        (tokens(1_991), tokens(1_992), "tokens"),
        (directives(50), directives(51), "directives"),
        (aliases(30), aliases(31), "aliases"),
        (operations(10), operations(11), "definitions"),
        (sized(64 * 1024), sized(64 * 1024 + 1), "size"),
        (nodes(20), nodes(21), "nodes"),
        (types_of_fields(2), types_of_fields(3), "introspection"),
        (introspections(10), introspections(11), "introspection"),
    ] {
        assert_eq!(verdict(most), "accepted", "the most for {limit}");
        assert_eq!(verdict(one_more), limit);
    }
}

#[test]
fn abuse_is_answered_by_the_limit_that_it_hits() {
    let deep = |open: &str, close: &str| format!("{{ a(x: {}) }}", wrapped(open, "", close, 3_500));
    let ring = "{ ...A } fragment A on Q { ...B } fragment B on Q { x { ...A } }";
    for (document, limit) in [
        (deep("[", "]"), "nesting"),
        (deep("[", ""), "nesting"),
        (deep("{y:", "}"), "nesting"),
        ("{a".repeat(5_000), "nesting"),
        (wrapped("{ a ", "{ b }", "}", 31), "depth"),
        ("(".repeat(60_000), "nesting"),
        (fan_out(28, 2), "definitions"),
        (fan_out(9, 2), "accepted"),
        (fan_out(9, 3), "nodes"),
        (fan_out(9, 110), "nodes"),
        (ring.to_owned(), "depth"),
        (
            "{ a } fragment A on Q { ...A ...A }".to_owned(),
            "depth",
        ),
        (
            "{ ...F ...F } fragment F on Q { a:a b:b c:c d:d e:e f:f g:g h:h i:i j:j k:k l:l m:m n:n o:o p:p }"
                .to_owned(),
            "aliases",
        ),
        (
            "{ __type(name: \"A\") { ...F } } fragment F on __Type { fields { type { ...G } } }
             fragment G on __Type { interfaces { possibleTypes { inputFields { name } } } }"
                .to_owned(),
            "introspection",
        ),
        (format!("{{ {} }}", "a: __typename ".repeat(600)), "aliases"),
        (format!("{{ {} }}", "a".repeat(201)), "name"),
        (format!("{{ {} }}", "a".repeat(200)), "accepted"),
        (format!("{{ a {} }}", "@skip(if: true)".repeat(200)), "directives"),
        (format!("{{ {} }}", "a ".repeat(5_000)), "tokens"),
        (format!("{{ a(x: [{}]) }}", "null".repeat(5_000)), "tokens"),
        (format!("{{ a(x: [{}]) }}", "0".repeat(5_000)), "tokens"),
        (format!("{{ a(x: [{}]) }}", "-1".repeat(5_000)), "tokens"),
        (format!("{{ a {} }}", "#\n".repeat(5_000)), "tokens"),
        (format!("{{ a(x: \"{}\") }}", "x".repeat(70_000)), "size"),
        (format!("{{ a(x: \"{}\") }}", "x".repeat(60_000)), "accepted"),
        (format!("{{ a {} }}", "\u{feff},\t\r\n ".repeat(8_000)), "accepted"),
    ] {
        assert_eq!(verdict(document.clone()), limit, "{document:.80}");
    }
}

#[test]
fn brackets_in_strings_and_comments_do_not_count() {
    let brackets = "[({".repeat(100);
    for document in [
        format!("{{ a(x: \"{brackets}\") }}"),
        format!("{{ a(x: \"\\\"{brackets}\\\\\") }}"),
        format!("{{ a(x: \"\"\"\n{brackets}\" \\\"\"\" {brackets}\"\"\") }}"),
        format!("{{ a(x: \"\"\"\\\\\"\"\"{brackets}\"\"\") }}"),
        format!("# {brackets} \"\n{{ a # \"\"\" {brackets}\r b }}"),
    ] {
        assert_eq!(verdict(document.clone()), "accepted", "{document}");
    }
    // Behind the end of a string they do, also where a quote only seems to be open.
    for document in [
        format!("{{ a(x: \"\\\\\" y: {brackets}"),
        format!("{{ a(x: \"\" y: {brackets}"),
        format!("{{ a(x: \"\"\"\"\"\" y: {brackets}"),
        format!("{{ a(x: \"#\" y: {brackets}"),
        format!("{{ a # \"\n(y: {brackets}"),
    ] {
        assert_eq!(verdict(document.clone()), "nesting", "{document}");
    }
}

#[test]
fn a_string_without_an_end_is_refused_before_the_parse() {
    for (document, line, column) in [
        ("{ a(x: \"never", 1, 8),
        ("{ a(x: \"never\n\") }", 1, 8),
        ("{ a(x: \"never\\", 1, 8),
        ("{ a(x: \"never\\\n\") }", 1, 8),
        ("{ é\r\n  a(x: \"\"\"never\" \\\"\"\"", 2, 8),
        // To the parser these are empty strings, and the brackets behind them brackets.
        ("{ a(x: \"\"\"\" [[[[", 1, 8),
    ] {
        let rejection = inspect(document, None).expect_err("no end");
        assert_eq!(
            rejection,
            Rejection::Parse {
                message: "a string does not end".to_owned(),
                line,
                column,
            },
            "{document}"
        );
        assert_eq!(rejection.code(), "PARSE_FAILED");
    }
}

#[test]
fn what_does_not_parse_is_located_and_never_repeated() {
    for (document, message, line, column) in [
        (
            "",
            "the document does not parse: expected executable definition",
            1,
            1,
        ),
        (
            "{ secret secret\n secret( }",
            "the document does not parse: expected name",
            2,
            10,
        ),
        (
            "query secret { a } query secret { a }",
            "two operations have the same name",
            1,
            20,
        ),
        (
            "query secret { a } { a }",
            "an operation without a name must be the only operation",
            1,
            20,
        ),
        (
            "{ a } fragment secret on Q { a } fragment secret on Q { a }",
            "two fragments have the same name",
            1,
            34,
        ),
        (
            "fragment secret on Q { a }",
            "the document has no operation",
            1,
            1,
        ),
        ("{ secret(x: 1e999) }", "the document does not parse", 1, 13),
    ] {
        assert_eq!(
            inspect(document, None).expect_err(document),
            Rejection::Parse {
                message: message.to_owned(),
                line,
                column,
            }
        );
    }
}

#[test]
fn without_a_token_only_a_few_documents_may_run() {
    use Anonymous::{Allowed, Introspection, Refused};

    for (document, anonymous, root_fields) in [
        ("{ __typename }", Allowed, 1),
        (
            "{ a: __typename ... { ...F } } fragment F on Query { __typename }",
            Allowed,
            2,
        ),
        ("{ __schema { description } __typename }", Introspection, 2),
        (
            "{ ...F } fragment F on Query { __type(name: \"A\") { name } }",
            Introspection,
            1,
        ),
        ("{ viewer { kind } }", Refused, 1),
        ("{ __typename: viewer { kind } }", Refused, 1),
        ("{ __schema { description } viewer { kind } }", Refused, 2),
        (
            "{ ...F } fragment F on Query { viewer { kind } }",
            Refused,
            1,
        ),
        ("{ ...Missing }", Refused, 0),
        ("{ createApiKey { apiKey } }", Refused, 1),
        ("mutation { __typename }", Allowed, 1),
        (
            "mutation { a: createApiKey { apiKey } ...F ...F } fragment F on Mutation { createApiKey { apiKey } }",
            Allowed,
            3,
        ),
        (
            "mutation { createApiKey { apiKey } deleteItem { deletedItemId } }",
            Refused,
            2,
        ),
        ("mutation { __schema { description } }", Refused, 1),
        ("subscription { __typename }", Refused, 1),
        ("subscription { events { id } }", Refused, 1),
    ] {
        let inspected = inspect(document, None).expect(document);
        assert_eq!(
            (inspected.anonymous, inspected.root_fields),
            (anonymous, root_fields),
            "{document}"
        );
    }
}

#[test]
fn the_operation_name_selects_as_the_executor_does() {
    use OperationType::{Mutation, Query};

    let several = "query A { __typename } mutation B { deleteItem { deletedItemId } }";
    for (document, name, operation, anonymous) in [
        ("{ __typename }", None, Some(Query), Anonymous::Allowed),
        ("{ __typename }", Some("A"), None, Anonymous::Refused),
        ("{ __typename }", Some(""), None, Anonymous::Refused),
        (
            "query A { __typename }",
            None,
            Some(Query),
            Anonymous::Allowed,
        ),
        (several, None, None, Anonymous::Refused),
        (several, Some("A"), Some(Query), Anonymous::Allowed),
        (several, Some("B"), Some(Mutation), Anonymous::Refused),
        (several, Some("C"), None, Anonymous::Refused),
    ] {
        let inspected = inspect(document, name).expect(document);
        assert_eq!(
            (inspected.operation, inspected.anonymous),
            (operation, anonymous),
            "{document} {name:?}"
        );
    }
    let costly = format!("query A {{ a }} query B {{ {} }}", "a: b ".repeat(31));
    assert_eq!(
        inspect(&costly, Some("A")).expect_err("all operations count"),
        Rejection::Limit {
            limit: "aliases",
            most: 30,
            message:
                "the document has more than 30 aliases, counting fragments wherever they are spread"
                    .to_owned(),
        }
    );
}

#[test]
fn json_is_bounded_in_depth_before_it_is_parsed() {
    let nested = |depth| wrapped("[{\"a\":", "1", "}]", depth);
    let text = |inner: &str| serde_json::json!([inner, { "[": inner }]).to_string();
    for accepted in [
        nested(16),
        text(&"[{".repeat(100)),
        text(&"\"[\\".repeat(100)),
        "[],".repeat(1_000),
        "\"[[\\".to_owned(),
        String::new(),
    ] {
        assert_eq!(scan_json(accepted.as_bytes()), Ok(()), "{accepted}");
    }
    for rejected in [
        nested(17),
        "[".repeat(60_000),
        format!("[\"\\\\\",{}", "[".repeat(32)),
    ] {
        let rejection = scan_json(rejected.as_bytes()).expect_err("too deep");
        assert_eq!(rejection.code(), "DOCUMENT_REJECTED");
    }
}

/// Nodes of the whole document by following every spread, up to one more than `most`. Fragments that nothing spreads
/// count by themselves.
fn expanded(document: &ExecutableDocument, most: usize) -> usize {
    fn walk<'a>(
        document: &'a ExecutableDocument,
        set: &'a SelectionSet,
        left: &mut usize,
        spread: &mut HashSet<&'a str>,
    ) {
        for selection in &set.items {
            if *left == 0 {
                return;
            }
            *left -= 1;
            match &selection.node {
                Selection::Field(field) => {
                    walk(document, &field.node.selection_set.node, left, spread);
                }
                Selection::InlineFragment(inline) => {
                    walk(document, &inline.node.selection_set.node, left, spread);
                }
                Selection::FragmentSpread(name) => {
                    let name = name.node.fragment_name.node.as_str();
                    spread.insert(name);
                    if let Some(fragment) = document.fragments.get(name) {
                        walk(document, &fragment.node.selection_set.node, left, spread);
                    }
                }
            }
        }
    }
    let (mut left, mut spread) = (most + 1, HashSet::new());
    for (_, operation) in document.operations.iter() {
        walk(
            document,
            &operation.node.selection_set.node,
            &mut left,
            &mut spread,
        );
    }
    // A fragment that only unused ones spread counts with them, so those go first.
    let mut by_unused = HashSet::new();
    for fragment in document.fragments.values() {
        walk(
            document,
            &fragment.node.selection_set.node,
            &mut 10_000,
            &mut by_unused,
        );
    }
    for (name, fragment) in &document.fragments {
        if !spread.contains(name.as_str()) && !by_unused.contains(name.as_str()) {
            walk(
                document,
                &fragment.node.selection_set.node,
                &mut left,
                &mut HashSet::new(),
            );
        }
    }
    most + 1 - left
}

/// A run of random choices from `SEED`, or from a seed of its own that it prints.
struct Fuzz(rand::rngs::StdRng);

impl Fuzz {
    #[expect(
        clippy::disallowed_methods,
        reason = "a seed and a scale for tests are no settings"
    )]
    fn start(cases: usize) -> (Self, usize) {
        use rand::SeedableRng as _;

        let number = |name| {
            std::env::var(name)
                .ok()
                .and_then(|text| text.parse::<u64>().ok())
        };
        let seed = number("SEED").unwrap_or_else(|| getrandom::u64().expect("entropy"));
        let scale =
            usize::try_from(number("PONTE_TEST_SCALE").unwrap_or(1)).expect("a small number");
        println!("SEED={seed}");
        (Self(rand::rngs::StdRng::seed_from_u64(seed)), cases * scale)
    }

    fn below(&mut self, bound: usize) -> usize {
        use rand::RngExt as _;

        self.0.random_range(0..bound)
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A document of the grammar, often with fragments that spread each other.
    fn document(&mut self) -> String {
        let mut text = self
            .of(&["", "query A", "mutation A", "subscription A @d"])
            .to_owned();
        self.set(&mut text, 0);
        for fragment in 0..self.below(8) {
            write!(text, " fragment F{fragment} on Query ").expect("a string");
            self.set(&mut text, 0);
        }
        text
    }

    fn set(&mut self, text: &mut String, depth: usize) {
        text.push_str("{ ");
        for _ in 0..=self.below(5) {
            match self.below(10) {
                0..3 => write!(text, "...F{} ", self.below(8)).expect("a string"),
                3 => {
                    text.push_str(self.of(&["... on Query ", "... ", "... @d "]));
                    self.set(text, depth + 1);
                }
                _ => {
                    text.push_str(self.of(&["", "", "b: "]));
                    text.push_str(self.of(&[
                        "a ",
                        "__typename ",
                        "createApiKey ",
                        "__schema ",
                        "fields ",
                        "c(x: [1 \"{\" {y: null}]) ",
                    ]));
                    if depth < 6 && self.below(4) == 0 {
                        self.set(text, depth + 1);
                    }
                }
            }
        }
        text.push_str("} ");
    }

    /// The same text with a few bytes deleted, repeated, replaced or put in.
    fn damaged(&mut self, text: &str) -> String {
        const PIECES: [&str; 24] = [
            "{", "}", "[", "]", "(", ")", "\"", "\"\"\"", "\\", "\\\"\"\"", "#", "\n", "\r", "...",
            "on ", ":", "$", "@", "null", "0", "-1.5e+3", "\u{feff}", "é", "fragment",
        ];
        let mut chars: Vec<char> = text.chars().collect();
        for _ in 0..=self.below(4) {
            let at = self.below(chars.len() + 1);
            let end = (at + self.below(12)).min(chars.len());
            let piece = match self.below(4) {
                0 => String::new(),
                1 => chars[at..end]
                    .iter()
                    .collect::<String>()
                    .repeat(1 + self.below(40)),
                2 => self.of(&PIECES).repeat(1 + self.below(60)),
                _ => self.of(&PIECES).to_owned(),
            };
            chars.splice(at..end, piece.chars());
        }
        chars.into_iter().collect()
    }
}

#[test]
fn no_document_panics_and_none_that_is_accepted_expands_beyond_the_limit() {
    in_half_a_mebibyte(|| {
        let (mut fuzz, cases) = Fuzz::start(3_000);
        let mut accepted = 0;
        for _ in 0..cases {
            let mut document = match fuzz.below(6) {
                0 => FULL_INTROSPECTION.to_owned(),
                1 => fan_out(1 + fuzz.below(9), 1 + fuzz.below(4)),
                _ => fuzz.document(),
            };
            if fuzz.below(2) == 0 {
                document = fuzz.damaged(&document);
            }
            let scanned = scan_json(document.as_bytes());
            assert!(scanned.is_ok() || document.matches(['{', '[']).count() > NESTING);
            match inspect(&document, fuzz.of(&[None, Some("A")])) {
                Ok(inspected) => {
                    accepted += 1;
                    assert_eq!(
                        expanded(&inspected.document, NODES),
                        inspected.nodes,
                        "{document}"
                    );
                    assert!(inspected.nodes <= NODES);
                }
                Err(rejection) => assert!(rejection.to_string().len() < 200, "{rejection}"),
            }
        }
        println!("{accepted} of {cases} accepted");
        assert!(accepted > cases / 20, "{accepted} of {cases}");
    });
}
