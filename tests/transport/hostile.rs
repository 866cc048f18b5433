//! Documents that are meant to hurt.

use std::fmt::Write as _;

fn fanned_fragments() -> String {
    let mut document = "{ ...F0 }".to_owned();
    for n in 0..8 {
        let next = if n == 7 {
            "__typename".to_owned()
        } else {
            format!("...F{0} ...F{0}", n + 1)
        };
        write!(
            document,
            " fragment F{n} on Query {{ {next} {next} {next} }}"
        )
        .expect("a string");
    }
    document
}

/// What each is called, and its text.
#[expect(clippy::too_many_lines, reason = "a list")]
pub fn documents() -> Vec<(&'static str, String)> {
    let repeated = |text: &str, times: usize| text.repeat(times);
    let numbered =
        |count: usize, form: &dyn Fn(usize) -> String| (0..count).map(form).collect::<String>();
    vec![
        (
            "deep selections",
            format!("{}{}", repeated("{ a ", 5_000), repeated("}", 5_000)),
        ),
        (
            "deep lists",
            format!(
                "{{ a(x: {}{}) }}",
                repeated("[", 20_000),
                repeated("]", 20_000)
            ),
        ),
        (
            "deep objects",
            format!(
                "{{ a(x: {}1{}) }}",
                repeated("{x:", 10_000),
                repeated("}", 10_000)
            ),
        ),
        (
            "deep lists in a variable",
            format!(
                "query($x: {}Int{}) {{ a }}",
                repeated("[", 9_000),
                repeated("]", 9_000)
            ),
        ),
        (
            "deep inline fragments",
            format!(
                "{}__typename{}",
                repeated("{ ... ", 3_000),
                repeated("}", 3_000)
            ),
        ),
        ("open for ever", repeated("{a", 30_000)),
        (
            "wide",
            format!("{{ {} }}", numbered(5_000, &|n| format!("f{n} "))),
        ),
        (
            "aliased",
            format!(
                "{{ {} }}",
                numbered(2_000, &|n| format!("a{n}: __typename "))
            ),
        ),
        (
            "aliased at length",
            format!(
                "{{ {} }}",
                numbered(30, &|n| format!("{}{n}: __typename ", repeated("a", 2_000)))
            ),
        ),
        (
            "aliased as far as it goes",
            format!(
                "{{ {} }}",
                numbered(30, &|n| format!("{}{n}: __typename ", repeated("a", 198)))
            ),
        ),
        (
            "thirty logins",
            format!(
                "mutation {{ {} }}",
                numbered(30, &|n| format!(
                    "{}{n}: createApiKey(input: {{ clientId: \"x\", clientSecret: \"x\" }}) {{ apiKey }} ",
                    repeated("b", 190)
                ))
            ),
        ),
        ("a long name", format!("{{ {} }}", repeated("a", 60_000))),
        (
            "a long string",
            format!("{{ __typename(x: \"{}\") }}", repeated("a", 60_000)),
        ),
        (
            "a long number",
            format!("{{ __typename(x: {}) }}", repeated("9", 60_000)),
        ),
        (
            "a long argument",
            format!(
                "mutation {{ createApiKey(input: \"{}\") {{ apiKey }} }}",
                repeated("a", 60_000)
            ),
        ),
        (
            "many directives",
            format!("{{ __typename {} }}", repeated("@skip(if: false) ", 500)),
        ),
        (
            "many invented directives",
            format!("{{ __typename {} }}", numbered(49, &|n| format!("@d{n}"))),
        ),
        (
            "many errors",
            format!("{{ {} }}", numbered(600, &|n| format!("invented{n} "))),
        ),
        (
            "many operations",
            numbered(1_000, &|n| format!("query Q{n} {{ __typename }} ")),
        ),
        (
            "many variables",
            format!(
                "query({}) {{ __typename }}",
                numbered(600, &|n| format!("$v{n}: Int "))
            ),
        ),
        ("fragments that fan out", fanned_fragments()),
        (
            "fragments in a circle",
            "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }".to_owned(),
        ),
        (
            "a fragment of itself",
            "{ ...A } fragment A on Query { ...A }".to_owned(),
        ),
        (
            "circles of introspection",
            format!(
                "{{ __schema {{ types {{ {} name {} }} }} }}",
                repeated("fields { type { ", 6),
                repeated("} }", 6)
            ),
        ),
        (
            "many schemas",
            format!(
                "{{ {} }}",
                numbered(20, &|n| format!("s{n}: __schema {{ types {{ name }} }} "))
            ),
        ),
        (
            "a string without end",
            "{ a(x: \"".to_owned() + &repeated("x", 50_000),
        ),
        (
            "a block string without end",
            "{ a(x: \"\"\"".to_owned() + &repeated("\"\" ", 10_000),
        ),
        ("comments", repeated("#\n", 30_000) + "{ __typename }"),
        ("commas", repeated(",", 60_000) + "{ __typename }"),
        ("nothing", String::new()),
        ("blank", repeated(" ", 60_000)),
        ("not GraphQL", "SELECT * FROM users; --".to_owned()),
        (
            "control characters",
            "{ \u{0} \u{1b}[31m \u{202e} }".to_owned(),
        ),
        ("too large", repeated("# ", 40_000)),
    ]
}
