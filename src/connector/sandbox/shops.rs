//! Whom the made-up users buy from: found by a word of a movement's text. Made up as well, but for their names.

use super::holder;
use crate::connector::MerchantRecord;

/// A merchant.
#[derive(Debug)]
pub(super) struct Shop {
    /// What the text of a purchase contains.
    word: &'static str,
    name: &'static str,
    business_name: &'static str,
    /// The first eight digits of its tax number.
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
            cnpj: Some(holder::cnpj(self.cnpj)),
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
        10_200_300,
        GROCERIES,
    ),
    shop(
        "PAO DE ACUCAR",
        ("Pão de Açúcar", "Pão de Açúcar Comércio S.A."),
        20_300_400,
        GROCERIES,
    ),
    shop(
        "CARREFOUR",
        ("Carrefour", "Carrefour Comércio Ltda"),
        30_400_500,
        GROCERIES,
    ),
    shop(
        "PADARIA BELA VISTA",
        ("Padaria Bela Vista", "Padaria Bela Vista Ltda"),
        11_210_310,
        ("1091102", "Padarias", "5462"),
    ),
    shop(
        "FARMACIA SAO JOAO",
        ("São João", "Farmácia São João Ltda"),
        12_220_320,
        PHARMACY,
    ),
    shop(
        "DROGA RAIA",
        ("Droga Raia", "Raia Drogarias S.A."),
        13_230_330,
        PHARMACY,
    ),
    shop(
        "POSTO SHELL",
        ("Posto Shell", "Posto Marginal Ltda"),
        14_240_340,
        FUEL,
    ),
    shop(
        "POSTO IPIRANGA",
        ("Posto Ipiranga", "Auto Posto Central Ltda"),
        15_250_350,
        FUEL,
    ),
    shop("UBER", ("Uber", "Uber Tecnologia Ltda"), 16_260_360, RIDES),
    shop("99 APP", ("99", "99 Tecnologia Ltda"), 17_270_370, RIDES),
    shop(
        "IFOOD",
        ("iFood", "iFood Agência de Restaurantes S.A."),
        18_280_380,
        ("5611201", "Restaurantes", "5812"),
    ),
    shop(
        "AMAZON BR",
        ("Amazon", "Amazon Serviços de Varejo Ltda"),
        19_290_390,
        GOODS,
    ),
    shop(
        "MERCADOLIVRE",
        ("Mercado Livre", "Mercado Livre Atividades Ltda"),
        21_310_410,
        GOODS,
    ),
    shop(
        "MAGAZINE LUIZA",
        ("Magazine Luiza", "Magazine Luiza S.A."),
        22_320_420,
        GOODS,
    ),
    shop(
        "CASAS BAHIA",
        ("Casas Bahia", "Casas Bahia Comércio S.A."),
        23_330_430,
        GOODS,
    ),
    shop(
        "FAST SHOP",
        ("Fast Shop", "Fast Shop S.A."),
        24_340_440,
        GOODS,
    ),
    shop(
        "NETFLIX",
        ("Netflix", "Netflix Entretenimento Ltda"),
        25_350_450,
        ("5911199", "Streaming", "4899"),
    ),
    shop(
        "CINEMARK",
        ("Cinemark", "Cinemark Cinemas S.A."),
        26_360_460,
        ("5914600", "Cinemas", "7832"),
    ),
    shop(
        "APPLE.COM",
        ("Apple", "Apple Serviços Ltda"),
        27_370_470,
        ("6203100", "Software", "5818"),
    ),
];
