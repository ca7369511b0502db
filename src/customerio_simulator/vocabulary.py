"""Words that simulated records are made of, pretty ones and hostile ones."""

from __future__ import annotations

FIRST_NAMES = (
    "Ada", "Amara", "Anders", "Beatriz", "Chiara", "Dmitri", "Elif", "Emeka", "Fatima", "Finn", "Grace", "Hana",
    "Ines", "Isaac", "Jonas", "Kaito", "Lena", "Lucía", "Mateo", "Mei", "Nadia", "Noah", "Olga", "Priya", "Quentin",
    "Rosa", "Samir", "Sofie", "Tariq", "Uma", "Viktor", "Wanjiru", "Ximena", "Yusuf", "Zoë", "Łukasz",
)  # fmt: skip
LAST_NAMES = (
    "Abebe", "Andersen", "Bianchi", "Costa", "Dubois", "Eriksson", "Fischer", "García", "Haddad", "Ivanova", "Jensen",
    "Kowalski", "Kumar", "Laurent", "Moreau", "Nakamura", "O'Brien", "Okafor", "Petrov", "Quispe", "Rossi", "Schmidt",
    "Silva", "Tanaka", "Ueda", "Virtanen", "Weber", "Xu", "Yılmaz", "Zhang",
)  # fmt: skip
ASCII_FIRST = ("ada", "amara", "anders", "bea", "chiara", "dmitri", "elif", "emeka", "finn", "grace", "hana", "ines")
ASCII_LAST = ("abebe", "bianchi", "costa", "dubois", "fischer", "haddad", "jensen", "kumar", "okafor", "rossi", "weber")
DOMAINS = ("example.com", "example.org", "example.net", "mail.example.com")
CITIES = (("Lisbon", "PT"), ("Oslo", "NO"), ("Nairobi", "KE"), ("Kyoto", "JP"), ("Bogotá", "CO"), ("Leeds", "GB"),
          ("Austin", "US"), ("Portland", "US"), ("Zürich", "CH"), ("Pune", "IN"))  # fmt: skip
PLANS = ("free", "starter", "team", "business")
SOURCES = ("organic", "referral", "newsletter", "podcast", "partner")

CAMPAIGN_NAMES = (
    "Welcome series", "Trial ending soon", "Abandoned basket", "First order thank-you", "Win back: 60 days quiet",
    "Birthday treat", "Onboarding checklist", "Subscription renewal", "Review request", "Refer a friend",
    "Low stock alert", "Back in stock", "Card about to expire", "Upgrade to Team", "Weekly brew tips",
    "Loyalty: silver reached", "Loyalty: gold reached", "Event reminder", "Workshop follow-up", "Price change notice",
)  # fmt: skip
BROADCAST_NAMES = ("Order shipped", "Outage notice", "Flash sale", "Recall notice", "Store opening", "New roast alert")
NEWSLETTER_NAMES = ("The Monday roast", "Product update", "Roaster's letter", "Seasonal menu", "Community digest",
                    "Behind the beans", "Holiday hours", "Black Friday preview")  # fmt: skip
TRANSACTIONAL_NAMES = ("Password reset", "Order receipt", "Email verification", "Invoice", "Two-step code",
                       "Refund issued", "Delivery scheduled", "Account closed")  # fmt: skip
SEGMENT_NAMES = ("Everyone", "Signed up this month", "Paying customers", "Opened in 30 days", "At risk",
                 "VIP", "Trial users", "Has no orders", "Newsletter readers", "Beta testers")  # fmt: skip
TOPIC_NAMES = ("Product news", "Offers", "Events", "Research invitations")
COLLECTION_NAMES = ("Stores", "Roasts", "Recipes", "Shipping rates", "Holiday calendar")
OBJECT_TYPES = (("Companies", "Company", "building"), ("Orders", "Order", "receipt"), ("Courses", "Course", "book"))
TAGS = ("lifecycle", "retention", "promo", "2026", "emea", "needs review", "q3")
CHANNELS = ("email", "email", "email", "push", "twilio", "webhook", "slack")
SUBJECTS = (
    "Your first cup is on us", "A quick question", "We saved your basket", "Thank you for your order",
    "Only two days left", "Here is what you missed", "Your beans are on the way", "Confirm your address",
    "Something new is brewing", "We miss you", "Your weekly brew tips", "You're invited",
)  # fmt: skip

HOSTILE_TEXTS = (
    "null", "NaN", "-Infinity", "", " ", "'; DROP TABLE customers; --", '{"looks": ["like", "json"]}', "[1,2,3]",
    "nul\u0000inside", "☕️ 👩‍👩‍👧‍👦 e\u0301", "مرحبا \u202eright to left\u202c שלום", "line one\r\nline two\ttab",
    'quote " and back\\slash', "9007199254740993", "123456789012345678901234567890", "1e400", "0x1F", "007",
    "30e00001", "true", "2024-02-30T25:61:61Z", "\ufeffbyte order mark", "\u2028line\u2029separators", "x" * 4_000,
    '=HYPERLINK("http://example.com")', "%s %(name)s {0} {{liquid}}", "</script><script>alert(1)</script>",
)  # fmt: skip
HOSTILE_KEYS = (
    "Plan", "PLAN", "", "a.b.c", "a__b", 'quo"ted', "ключ", "☕", "__proto__", "with space", "select", "order by",
    "cio_id ", "ID", "_cio_synced_at", "new\nline", "emoji 👍🏽", "$ref", "constructor", "e\u0301", "é", "back\\slash",
)  # fmt: skip
# Exact JSON number texts: beyond 2^53, beyond 64 bits, beyond a double, and forms that re-encoding would change.
HOSTILE_NUMBERS = (
    "9007199254740993", "-9007199254740993", "18446744073709551615", "18446744073709551616",
    "123456789012345678901234567890", "1e400", "-1E+400", "1.0", "1e-7", "0.1000000000000000055511151231257827",
    "1E5", "-0", "-0.0", "1.10", "2.5e-400",
)  # fmt: skip
