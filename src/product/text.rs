//! Text as it is searched and compared: without case, accents and punctuation, alike on both engines.

use std::collections::HashSet;

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// Folds case and accents.
pub fn fold(text: &str) -> String {
    text.nfkd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Folds case and accents, and takes whitespace for one space, at the ends for none: what rules compare.
pub fn plain(text: &str) -> String {
    let folded = fold(text);
    let mut plain = String::with_capacity(folded.len());
    for word in folded.split_whitespace() {
        if !plain.is_empty() {
            plain.push(' ');
        }
        plain.push_str(word);
    }
    plain
}

/// Words that say how a movement was made or where it stands, and nothing of what it was. Folded.
const GENERIC: [&str; 24] = [
    "pendente",
    "pending",
    "autorizacao",
    "authorization",
    "authorisation",
    "pre",
    "compra",
    "purchase",
    "cartao",
    "card",
    "debito",
    "debit",
    "credito",
    "credit",
    "pix",
    "ted",
    "doc",
    "enviado",
    "enviada",
    "recebido",
    "recebida",
    "pagamento",
    "payment",
    "transferencia",
];

/// How much of the shorter of two folded texts the other one holds, by their telling words: 0.0 for nothing in common,
/// 1.0 when one holds all of the other.
pub fn likeness(a: &str, b: &str) -> f64 {
    let (mut one, mut other) = (words(a), words(b));
    let (telling_one, telling_other) = (telling(&one), telling(&other));
    if !telling_one.is_empty() && !telling_other.is_empty() {
        (one, other) = (telling_one, telling_other);
    }
    let common = one.intersection(&other).count();
    let shorter = one.len().min(other.len());
    if shorter == 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of words are small")]
    let likeness = common as f64 / shorter as f64;
    likeness
}

fn words(text: &str) -> HashSet<&str> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.len() > 1)
        .collect()
}

fn telling<'a>(words: &HashSet<&'a str>) -> HashSet<&'a str> {
    words
        .iter()
        .copied()
        .filter(|word| !GENERIC.contains(word))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_accents_do_not_count() {
        assert_eq!(fold("AÇÃO Pão de Açúcar"), "acao pao de acucar");
        assert_eq!(fold("Straße ﬁn"), "straße fin");
        assert_eq!(plain("  Pão\tde  AÇÚCAR \n"), "pao de acucar");
        assert_eq!(plain(" \u{301} "), "");
    }

    #[test]
    fn texts_are_alike_by_their_telling_words() {
        for (pending, posted) in [
            ("pendente - uber trip", "uber *trip sao paulo"),
            ("pendente - ifood", "ifood *restaurante sao paulo"),
            ("pre-autorizacao posto shell", "posto shell marginal"),
            (
                "pendente - pagamento recebido",
                "pagamento recebido obrigado",
            ),
        ] {
            assert!(likeness(pending, posted) >= 0.5, "{pending} | {posted}");
        }
        for (one, other) in [
            ("pix enviado joao silva", "pix enviado maria souza"),
            ("pendente - padaria", "supermercado extra"),
            ("", ""),
        ] {
            assert!(likeness(one, other) < 0.5, "{one} | {other}");
        }
    }
}
