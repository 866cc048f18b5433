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

/// How alike two folded texts are, by their words: 0.0 for nothing in common, 1.0 for the same words.
pub fn likeness(a: &str, b: &str) -> f64 {
    let (a, b) = (words(a), words(b));
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    let common = a.intersection(&b).count();
    // Counts of words in a description are far below 2⁵².
    #[expect(clippy::cast_precision_loss, reason = "counts of words are small")]
    let likeness = 2.0 * common as f64 / (a.len() + b.len()) as f64;
    likeness
}

fn words(text: &str) -> HashSet<&str> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.len() > 1)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_accents_do_not_count() {
        assert_eq!(fold("AÇÃO Pão de Açúcar"), "acao pao de acucar");
        assert_eq!(fold("Straße ﬁn"), "straße fin");
    }

    #[test]
    fn texts_are_alike_by_their_words() {
        assert!(likeness("pendente - uber trip", "uber *trip sao paulo") > 0.5);
        assert!(likeness("pix joao silva", "supermercado extra") < 0.1);
    }
}
