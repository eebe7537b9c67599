"""Labels as they are printed in many countries, and all that is found on each."""

import pytest

from tests.extract.sheets import Box, sheet, stack, values

LABELS: dict[str, list[Box]] = {
    "fedex": [
        *stack(
            "ORIGIN ID:PDXA (503) 555-0123|ACME PARTS INC|1200 FRONT AVE|PORTLAND, OR 97209|UNITED STATES US",
            0,
            0,
            18,
            1.15,
        ),
        *stack(
            "SHIP DATE: 14MAR25|ACTWGT: 12.40 LB|CAD: 112233445/INET4535|DIMS: 12x10x8 IN|BILL SENDER", 500, 0, 18, 1.15
        ),
        ("TO", 0, 140, 18),
        *stack("JANE SMITH|BOLT AND SONS LLC|55 COPPERLINE AVE|COLUMBUS OH 43215", 50, 140, 28, 1.1),
        *stack("(614) 555-0177           REF: 4711|INV: 88|PO: 4500123456              DEPT: 9", 50, 280, 16, 1.2),
    ],
    "fedex2": [
        ("TO JANE SMITH", 0, 140, 28),
        *stack("BOLT AND SONS LLC|55 COPPERLINE AVE|COLUMBUS OH 43215", 50, 172, 28, 1.1),
    ],
    "royal": [
        *stack("Delivered by|Royal Mail|Postage Paid GB", 600, 0, 20),
        *stack("Mr J Smith|Bolt & Sons|7 Mill Lane|LEEDS|LS1 4AB", 0, 100, 30),
        *stack("Return Address: Acme Ltd, 4 Beacon Hill, Bristol BS1 3MX", 0, 400, 12),
        ("14-03-2025", 600, 400, 12),
        ("0.75kg", 600, 430, 14),
    ],
    "dhl_de": [
        ("Abs.: Acme GmbH, Hafenring 12, 20457 Hamburg", 0, 0, 12),
        ("Empfänger", 0, 30, 14),
        *stack("Frau Odile Vert|Lindenhof 4|D-34117 Kassel", 0, 50, 22),
        ("Gewicht: 3,50 kg", 500, 50, 18),
        ("Sendungsdatum 14.03.25", 500, 80, 18),
        ("Telefon: 030 23125-123", 0, 140, 14),
    ],
    "laposte": [
        ("EXPÉDITEUR", 0, 0, 14),
        *stack("SARL Forge|12 rue du Four|69001 LYON", 0, 20, 16),
        ("Tél : 01 99 00 12 34", 0, 85, 14),
        ("DESTINATAIRE", 0, 120, 14),
        *stack("M. Jean DUPONT|Bât. B|5 AVENUE DES PLATANES|31000 TOULOUSE|FRANCE", 0, 142, 22),
        ("Poids : 1,25 kg", 500, 0, 16),
        ("Date de dépôt : 03/04/2025", 500, 30, 16),
    ],
    "postnl": [
        *stack("Afzender:|Wilgen BV|Kade 9|3011 AB Rotterdam", 0, 0, 14),
        *stack("Aan:|Hanneke de Vries|Molenpad 4|5912 AB  VENLO|NL", 0, 120, 24),
    ],
    "correos": [
        *stack("REMITENTE|Cafés Solvane SL|C/ Mayor 3, 2º B|28013 Madrid", 0, 0, 14),
        *stack("DESTINATARIO|Inés Duarte|Avda. Diagonal 12|08019 Barcelona (ESPAÑA)", 0, 120, 24),
        ("PESO: 2.350 KG", 500, 0, 14),
        ("FECHA: 14/03/2025", 500, 20, 14),
    ],
    "cn": [
        *stack(
            "From: Li Wei|Solvane Electronics Ltd|12 Keji Road|Shenzhen, Guangdong 518000|CHINA|Tel: +86 755 8888 1234",
            0,
            0,
            14,
        ),
        *stack("TO: Jane Smith|14 Harrow Mill Rd|Portland OR 97211|UNITED STATES|PHONE: 503-555-0123", 420, 0, 18),
    ],
    "jp": [
        *stack("SHIP FROM|Tanaka Trading Co.|1-2-3 Ginza, Chuo-ku|Tokyo 104-0061 JAPAN|TEL 03-1234-5678", 0, 0, 16),
        *stack("SHIP TO|Maple Goods Inc|200 King St W|Toronto ON  M5H 3T4|CANADA", 420, 0, 20),
    ],
    "au": [
        *stack("TO|WES HOLLIS|12 GEORGE ST|PARRAMATTA NSW 2150", 0, 0, 24),
        *stack("FROM:|Acme Pty Ltd|PO Box 33|MELBOURNE VIC 3001|AUSTRALIA", 0, 160, 14),
        ("DEAD WEIGHT 4.2kg", 500, 0, 16),
    ],
    "pl": [
        *stack("Nadawca|Halvikson Sp. z o.o.|ul. Prosta 1|00-950 Warszawa|tel. 22 123 45 67", 0, 0, 14),
        *stack("Odbiorca|Jan Kowalski|ul. Długa 5/7|30-001 Kraków|POLSKA", 420, 0, 18),
    ],
    "se": [
        *stack("Avsändare|Nordfalk AB|Storgatan 1|SE-111 22 STOCKHOLM", 0, 0, 14),
        *stack("Mottagare|Maren Lindqvist|Lilla vägen 3|414 55 Göteborg|SVERIGE", 420, 0, 18),
    ],
    "it": [
        *stack("MITTENTE|Lumetra SRL|Via Verdi 3|20121 MILANO MI|P.IVA IT00743110157", 0, 0, 14),
        *stack("DESTINATARIO|Rossi Mario|Via Roma 10|00184 ROMA RM|ITALIA", 420, 0, 18),
    ],
    "centered": [
        ("SHIP TO", 180, 0, 20),
        ("Jane Smith", 165, 26, 24),
        ("14 Harrow Mill Rd", 118, 56, 24),
        ("Portland OR 97211", 118, 86, 24),
        ("USA", 211, 116, 24),
    ],
    "wide": stack("SHIP TO|Jane Smith|14 Harrow Mill Rd|Portland OR 97211|USA", 0, 0, 20, 2.1),
    "amazon": [
        *stack("SHIP TO:|Jane Smith|14 Harrow Mill Rd APT 4|PORTLAND, OR 97211-1234|United States", 0, 0, 26),
        *stack("AMAZON.COM|1850 Mercer Rd|LEXINGTON, KY 40511", 0, 250, 14),
    ],
    "dhlx": [
        *stack("From :|ACME Instruments AG|Ines Duarte|Zeppelinufer 8|80903 MÜNCHEN|Germany", 0, 0, 14),
        ("Origin:", 380, 0, 12),
        ("MUC", 380, 20, 40),
        *stack("To :|Bolt & Sons Ltd|Callum Hollis|7 Mill Lane|LS1 4AB LEEDS|United Kingdom", 0, 120, 20),
        *stack("Contact:|Callum Hollis|+44 20 7946 0123", 420, 120, 14),
        ("Pce/Shpt Weight", 300, 300, 14),
        ("12.4 / 25.0 KG", 300, 318, 22),
        ("Date:", 0, 300, 14),
        ("2025-03-14", 0, 318, 18),
    ],
    "ca": [
        *stack("EXPÉDITEUR / SENDER|Maple Inc|3 Rue Verte|MONTRÉAL QC H2X 1Y4", 0, 0, 14),
        *stack("DESTINATAIRE / RECIPIENT|Priya Okafor|88 Queen St|OTTAWA ON K1A 0B1|CANADA", 420, 0, 18),
        ("SHIP DATE 03/04/2025", 0, 150, 14),
        ("Tél.: 514-555-0123", 0, 90, 14),
    ],
}
FOUND: dict[str, dict[str, list[str]]] = {
    "fedex": {
        "phone": ["+15035550123", "+16145550177"],
        "address_from": ["ACME PARTS INC\n1200 FRONT AVE\nPORTLAND, OR 97209\nUNITED STATES US"],
        "postcode": ["43215", "97209"],
        "date": ["2025-03-14"],
        "weight": ["12.40 lb"],
        "address_to": ["JANE SMITH\nBOLT AND SONS LLC\n55 COPPERLINE AVE\nCOLUMBUS OH 43215"],
    },
    "fedex2": {
        "address_to": ["JANE SMITH\nBOLT AND SONS LLC\n55 COPPERLINE AVE\nCOLUMBUS OH 43215"],
        "postcode": ["43215"],
    },
    "royal": {
        "address_to": ["Mr J Smith\nBolt & Sons\n7 Mill Lane\nLEEDS\nLS1 4AB"],
        "postcode": ["BS1 3MX", "LS1 4AB"],
        "address_from": ["Acme Ltd, 4 Beacon Hill, Bristol BS1 3MX"],
        "date": ["2025-03-14"],
        "weight": ["0.75 kg"],
    },
    "dhl_de": {
        "address_from": ["Acme GmbH, Hafenring 12, 20457 Hamburg"],
        "postcode": ["20457", "34117"],
        "address_to": ["Frau Odile Vert\nLindenhof 4\nD-34117 Kassel"],
        "weight": ["3.50 kg"],
        "date": ["2025-03-14"],
        "phone": ["+493023125123"],
    },
    "laposte": {
        "address_from": ["SARL Forge\n12 rue du Four\n69001 LYON"],
        "postcode": ["31000", "69001"],
        "phone": ["+33199001234"],
        "address_to": ["M. Jean DUPONT\nBât. B\n5 AVENUE DES PLATANES\n31000 TOULOUSE\nFRANCE"],
        "weight": ["1.25 kg"],
        "date": ["2025-04-03"],
    },
    "postnl": {
        "address_from": ["Wilgen BV\nKade 9\n3011 AB Rotterdam"],
        "postcode": ["3011 AB", "5912 AB"],
        "address_to": ["Hanneke de Vries\nMolenpad 4\n5912 AB  VENLO\nNL"],
    },
    "correos": {
        "address_from": ["Cafés Solvane SL\nC/ Mayor 3, 2º B\n28013 Madrid"],
        "postcode": ["08019", "28013"],
        "address_to": ["Inés Duarte\nAvda. Diagonal 12\n08019 Barcelona (ESPAÑA)"],
        "weight": ["2.350 kg"],
        "date": ["2025-03-14"],
    },
    "cn": {
        "address_from": ["Li Wei\nSolvane Electronics Ltd\n12 Keji Road\nShenzhen, Guangdong 518000\nCHINA"],
        "postcode": ["518000", "97211"],
        "phone": ["+15035550123", "+8675588881234"],
        "address_to": ["Jane Smith\n14 Harrow Mill Rd\nPortland OR 97211\nUNITED STATES"],
    },
    "jp": {
        "address_from": ["Tanaka Trading Co.\n1-2-3 Ginza, Chuo-ku\nTokyo 104-0061 JAPAN"],
        "postcode": ["104-0061", "M5H 3T4"],
        "phone": ["+81312345678"],
        "address_to": ["Maple Goods Inc\n200 King St W\nToronto ON  M5H 3T4\nCANADA"],
    },
    "au": {
        "address_to": ["WES HOLLIS\n12 GEORGE ST\nPARRAMATTA NSW 2150"],
        "postcode": ["2150", "3001"],
        "address_from": ["Acme Pty Ltd\nPO Box 33\nMELBOURNE VIC 3001\nAUSTRALIA"],
        "weight": ["4.2 kg"],
    },
    "pl": {
        "address_from": ["Halvikson Sp. z o.o.\nul. Prosta 1\n00-950 Warszawa"],
        "postcode": ["00-950", "30-001"],
        "phone": ["+48221234567"],
        "address_to": ["Jan Kowalski\nul. Długa 5/7\n30-001 Kraków\nPOLSKA"],
    },
    "se": {
        "address_from": ["Nordfalk AB\nStorgatan 1\nSE-111 22 STOCKHOLM"],
        "postcode": ["111 22", "414 55"],
        "address_to": ["Maren Lindqvist\nLilla vägen 3\n414 55 Göteborg\nSVERIGE"],
    },
    "it": {
        "address_from": ["Lumetra SRL\nVia Verdi 3\n20121 MILANO MI"],
        "postcode": ["00184", "20121"],
        "vat": ["IT00743110157"],
        "address_to": ["Rossi Mario\nVia Roma 10\n00184 ROMA RM\nITALIA"],
    },
    "centered": {"address_to": ["Jane Smith\n14 Harrow Mill Rd\nPortland OR 97211\nUSA"], "postcode": ["97211"]},
    "wide": {"address_to": ["Jane Smith\n14 Harrow Mill Rd\nPortland OR 97211\nUSA"], "postcode": ["97211"]},
    "amazon": {
        "address_to": ["Jane Smith\n14 Harrow Mill Rd APT 4\nPORTLAND, OR 97211-1234\nUnited States"],
        "postcode": ["40511", "97211-1234"],
        "address_from": ["AMAZON.COM\n1850 Mercer Rd\nLEXINGTON, KY 40511"],
    },
    "dhlx": {
        "address_from": ["ACME Instruments AG\nInes Duarte\nZeppelinufer 8\n80903 MÜNCHEN\nGermany"],
        "postcode": ["80903", "LS1 4AB"],
        "address_to": ["Bolt & Sons Ltd\nCallum Hollis\n7 Mill Lane\nLS1 4AB LEEDS\nUnited Kingdom"],
        "phone": ["+442079460123"],
        "weight": ["25.0 kg"],
        "date": ["2025-03-14"],
    },
    "ca": {
        "address_from": ["Maple Inc\n3 Rue Verte\nMONTRÉAL QC H2X 1Y4"],
        "postcode": ["H2X 1Y4", "K1A 0B1"],
        "address_to": ["Priya Okafor\n88 Queen St\nOTTAWA ON K1A 0B1\nCANADA"],
        "phone": ["+15145550123"],
    },
}


@pytest.mark.parametrize("degrees", [0.0, 92.0])
@pytest.mark.parametrize("label", sorted(LABELS))
def test_all_values_of_a_label_are_found_and_no_others(label: str, degrees: float) -> None:
    assert values(sheet(LABELS[label], degrees)) == FOUND[label]
