"""Texts with personal data of invented people, and what of it is to be found; and texts that have none."""

from __future__ import annotations

NAMES = [
    "Margaret Whitfield",
    "Daniel Okafor",
    "Priya Raman",
    "Tomasz Kowalczyk",
    "Aisha Rahman",
    "Lucas Moreau",
    "Ingrid Halvorsen",
    "Wei Zhang",
    "Carlos Mendoza",
    "Fatima Haddad",
    "Oluwaseun Adeyemi",
    "Hannah Goldstein",
    "Yuki Tanaka",
    "Siobhan Murphy",
    "Giulia Ferrari",
    "Mehmet Yilmaz",
    "Anna Schmidt",
    "Peter Novak",
    "Grace Mbeki",
    "Robert O'Neill",
    "Jean-Luc Fontaine",
    "Mary-Ann Lloyd",
    "Nguyen Van Minh",
    "Elena Petrova",
    "Thomas Baker",
    "Rose Field",
    "Mark Hill",
    "Emily Chen",
    "Ahmed Mansour",
    "Linda Gray",
]

OF_PEOPLE = (
    "{0} was admitted with chest pain on Monday and discharged two days later.",
    "The patient's daughter, {0}, asked for a second opinion.",
    "Dear {0}, your application was received and is being processed.",
    "Please forward the invoice to {0} in the billing office.",
    "Seen by Dr. {0}, who ordered a chest x-ray and blood tests.",
    "According to {0}, the meeting was moved to Thursday.",
    "Name: {0}\nReason for visit: follow-up\nAllergies: none known",
    "Thanks again for your help with the account.\n\nBest regards,\n{0}",
)

OTHERS = (
    (
        "EMAIL_ADDRESS",
        "Write to {0} before Friday.",
        "m.whitfield@northgate-clinic.org|d_okafor88@example.com|priya.raman@mail.example.co.uk",
    ),
    ("PHONE_NUMBER", "She can be reached at {0} in the evening.", "212-555-0187|(415) 555-2671|+44 20 7946 0958|+49 30 901820|030 901820"),
    (
        "RECORD_NUMBER",
        "{0} was filed under the wrong name.",
        "MRN 00482913|Record no. A-4711/23|Patient ID: 99-1234|Case number 2021-00334",
    ),
    ("RECORD_NUMBER", "We have closed your {0} today.", "account 83920175|policy number HX-220-918|claim no. 5512/B|chart #90211"),
    (
        "STREET_ADDRESS",
        "He moved to {0} last spring.",
        "12 Baker Street|221 5th Avenue, Apt 4B|4 Old Mill Lane|1600 W Elm Blvd|77 Rue de Lyon",
    ),
    (
        "STREET_ADDRESS",
        "Send it to {0}.",
        "9 Harbour Road, Bristol BS1 4QA|830 North Oak Drive, Springfield, IL 62704|P.O. Box 1182|34 main street",
    ),
    (
        "BIRTH_DATE",
        "The applicant, {0}, lives alone.",
        "born on 3 May 1961|date of birth 11/02/1984|DOB: 1975-08-30|born March 9th, 1958|born in 1961",
    ),
    ("US_SSN", "The form lists {0} twice.", "536-90-4399|219-09-8321"),
    ("CREDIT_CARD", "Charge it to {0}.", "4111 1111 1111 1111|5500-0000-0000-0004|378282246310005"),
    ("IBAN_CODE", "Transfer it to {0}.", "DE89 3704 0044 0532 0130 00|GB29NWBK60161331926819"),
    ("UK_NHS", "Her number with the service is {0}.", "943 476 5919"),
    ("IP_ADDRESS", "The login came from {0} at night.", "203.0.113.77|2001:db8::8a2e:370:7334"),
)
"""Kind, sentence, values."""

NOBODYS = (
    "Parkinson's disease is a disorder of the nervous system that affects movement.",
    "Crohn's disease and ulcerative colitis are inflammatory bowel diseases.",
    "The capital of France is Paris, which lies on the river Seine.",
    "Hodgkin lymphoma begins in white blood cells called lymphocytes.",
    "Take 2 tablets of 500 mg every 8 hours for 10 days, not more than 6 in 24 hours.",
    "In 2019 the company sold 12,500 units, 14% more than in 2018.",
    "Write out the date 1998-01-02 as January 2, 1998.",
    "A case of 24 bottles costs 36 dollars; the account is due in 30 days.",
    "Mutations in the BRCA1 and TP53 genes raise the risk of cancer.",
    "Five patients were on their way to the square when the road was closed.",
    "Down syndrome is caused by a third copy of chromosome 21.",
    "The Pythagorean theorem relates the three sides of a right triangle.",
    "Marfan syndrome affects the connective tissue of the body.",
    "Version 10.4.2 of the program reads files of up to 2048 rows.",
    "Vitamin C deficiency is known as scurvy.",
    "An insurance policy may exclude damage by floods.",
)


def of_people() -> list[tuple[str, str, str]]:
    """(text, kind, value): every name in two of the sentences."""
    return [
        (OF_PEOPLE[(place + turn * 3) % len(OF_PEOPLE)].format(name), "PERSON", name) for place, name in enumerate(NAMES) for turn in (0, 1)
    ]


def of_others() -> list[tuple[str, str, str]]:
    """(text, kind, value) of all other kinds."""
    return [(sentence.format(value), kind, value) for kind, sentence, values in OTHERS for value in values.split("|")]
