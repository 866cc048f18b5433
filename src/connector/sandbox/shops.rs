//! Whom the made-up users buy from: found by a word of a movement's text. Made up as well, but for their names.

use super::tax_number;
use crate::connector::MerchantRecord;

/// A merchant.
#[derive(Debug)]
pub(super) struct Shop {
    /// What the text of a purchase contains.
    word: &'static str,
    name: &'static str,
    business_name: &'static str,
    /// Twelve digits of its tax number, without the two that check them.
    cnpj: i64,
    cnae: &'static str,
    category: &'static str,
    /// ISO 18245.
    pub(super) mcc: &'static str,
}

/// The merchant of a purchase.
pub(super) fn find(text: &str) -> Option<&'static Shop> {
    SHOPS.iter().find(|shop| text.contains(shop.word))
}

impl Shop {
    /// As the bank tells it.
    pub(super) fn record(&self) -> MerchantRecord {
        MerchantRecord {
            name: Some(self.name.to_owned()),
            business_name: Some(self.business_name.to_owned()),
            cnpj: Some(tax_number::cnpj(self.cnpj)),
            cnae: Some(self.cnae.to_owned()),
            category: Some(self.category.to_owned()),
        }
    }
}

const fn shop(
    word: &'static str,
    (name, business_name): (&'static str, &'static str),
    cnpj: i64,
    (cnae, category, mcc): (&'static str, &'static str, &'static str),
) -> Shop {
    Shop {
        word,
        name,
        business_name,
        cnpj,
        cnae,
        category,
        mcc,
    }
}

const GROCERIES: (&str, &str, &str) = ("4711302", "Supermercados", "5411");
const PHARMACY: (&str, &str, &str) = ("4771701", "Farmácias", "5912");
const FUEL: (&str, &str, &str) = ("4731800", "Postos de combustível", "5541");
const RIDES: (&str, &str, &str) = ("4923001", "Transporte", "4121");
const GOODS: (&str, &str, &str) = ("4713004", "Lojas de departamento", "5311");

const SHOPS: [Shop; 19] = [
    shop(
        "SUPERMERCADO EXTRA",
        ("Extra", "Extra Supermercados Ltda"),
        102_003_000_001,
        GROCERIES,
    ),
    shop(
        "PAO DE ACUCAR",
        ("Pão de Açúcar", "Pão de Açúcar Comércio S.A."),
        203_004_000_007,
        GROCERIES,
    ),
    shop(
        "CARREFOUR",
        ("Carrefour", "Carrefour Comércio Ltda"),
        304_005_000_012,
        GROCERIES,
    ),
    shop(
        "PADARIA BELA VISTA",
        ("Padaria Bela Vista", "Padaria Bela Vista Ltda"),
        112_103_100_001,
        ("1091102", "Padarias", "5462"),
    ),
    shop(
        "FARMACIA SAO JOAO",
        ("São João", "Farmácia São João Ltda"),
        122_203_200_003,
        PHARMACY,
    ),
    shop(
        "DROGA RAIA",
        ("Droga Raia", "Raia Drogarias S.A."),
        132_303_300_143,
        PHARMACY,
    ),
    shop(
        "POSTO SHELL",
        ("Posto Shell", "Posto Marginal Ltda"),
        142_403_400_001,
        FUEL,
    ),
    shop(
        "POSTO IPIRANGA",
        ("Posto Ipiranga", "Auto Posto Central Ltda"),
        152_503_500_001,
        FUEL,
    ),
    shop(
        "UBER",
        ("Uber", "Uber Tecnologia Ltda"),
        162_603_600_001,
        RIDES,
    ),
    shop(
        "99 APP",
        ("99", "99 Tecnologia Ltda"),
        172_703_700_001,
        RIDES,
    ),
    shop(
        "IFOOD",
        ("iFood", "iFood Agência de Restaurantes S.A."),
        182_803_800_001,
        ("5611201", "Restaurantes", "5812"),
    ),
    shop(
        "AMAZON BR",
        ("Amazon", "Amazon Serviços de Varejo Ltda"),
        192_903_900_001,
        GOODS,
    ),
    shop(
        "MERCADOLIVRE",
        ("Mercado Livre", "Mercado Livre Atividades Ltda"),
        213_104_100_001,
        GOODS,
    ),
    shop(
        "MAGAZINE LUIZA",
        ("Magazine Luiza", "Magazine Luiza S.A."),
        223_204_200_001,
        GOODS,
    ),
    shop(
        "CASAS BAHIA",
        ("Casas Bahia", "Casas Bahia Comércio S.A."),
        233_304_300_001,
        GOODS,
    ),
    shop(
        "FAST SHOP",
        ("Fast Shop", "Fast Shop S.A."),
        243_404_400_001,
        GOODS,
    ),
    shop(
        "NETFLIX",
        ("Netflix", "Netflix Entretenimento Ltda"),
        253_504_500_001,
        ("5911199", "Streaming", "4899"),
    ),
    shop(
        "CINEMARK",
        ("Cinemark", "Cinemark Cinemas S.A."),
        263_604_600_017,
        ("5914600", "Cinemas", "7832"),
    ),
    shop(
        "APPLE.COM",
        ("Apple", "Apple Serviços Ltda"),
        273_704_700_001,
        ("6203100", "Software", "5818"),
    ),
];
