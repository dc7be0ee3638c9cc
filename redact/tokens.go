package redact

// tokenFormat is the documented shape of a provider's tokens: one of prefixes,
// then at least min bytes of body. Whatever follows of the body's alphabet is
// taken as well, so that a longer token than documented does not leave its end
// behind.
type tokenFormat struct {
	id       string
	doc      string
	prefixes []string
	body     charset
	min      int  // bytes behind the prefix
	exact    bool // exactly min bytes, and no letter or digit behind
	word     bool // no letter, digit, '-' or '_' in front: the prefix is also an ending of words
	digit    bool // the body holds a digit: else it is words with hyphens
	dotAt    int  // if not 0: the body has a dot at this index
}

// tokenFormats are written from what the providers publish about their
// tokens; the comment names the page. "Observed" marks what is
// widely known but not promised by the provider. Order matters: of two that match at one place
// the earlier names the finding.
var tokenFormats = []tokenFormat{
	// AWS IAM User Guide, "IAM identifiers", table of unique ID prefixes: AKIA long-term, ASIA temporary access keys,
	// ABIA bearer tokens, ACCA context-specific credentials; 20 characters in all.
	{id: "aws-access-key-id", doc: "AWS access key IDs", prefixes: []string{"AKIA", "ASIA", "ABIA", "ACCA"}, body: csUpperNum, min: 16, exact: true, word: true},
	// Observed: AWS STS session tokens are base64 of a record that begins with the region's origin.
	{id: "aws-session-token", doc: "AWS STS session tokens", prefixes: []string{"IQoJb3JpZ2lu", "FwoGZXIvYXdz"}, body: csBase64, min: 60},
	// GitHub Docs, "About authentication to GitHub: GitHub's token formats"; changelog 2021-03-31 for the alphabet.
	{id: "github-token", doc: "GitHub tokens (ghp_, gho_, ghu_, ghs_, ghr_, github_pat_)", prefixes: []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_"}, body: csWord, min: 36},
	{id: "github-token", prefixes: []string{"github_pat_"}, body: csWord, min: 40},
	// GitLab Docs, "GitLab token overview", table of token prefixes. Routable tokens have two dots.
	{id: "gitlab-token", doc: "GitLab tokens (glpat-, gldt-, glrt-, glcbt-, …)", prefixes: []string{"glpat-", "gldt-", "glrt-", "glrtr-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-", "gloas-", "glsoat-", "glffct-"}, body: csURL | csDot, min: 20},
	// Slack API docs, "Tokens": xoxb bot, xoxp user, xoxe refresh and configuration, xapp app-level, xwfp workflow; others are legacy.
	{id: "slack-token", doc: "Slack tokens (xoxb-, xoxp-, xapp-, …)", prefixes: []string{"xoxa-", "xoxb-", "xoxc-", "xoxd-", "xoxe-", "xoxe.xoxb-", "xoxe.xoxp-", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-", "xwfp-"}, body: csURL | csDot, min: 10},
	// Slack API docs, "Sending messages using incoming webhooks": the path is the secret.
	{id: "slack-webhook", doc: "the paths of Slack webhooks", prefixes: []string{"hooks.slack.com/services/", "hooks.slack.com/workflows/", "hooks.slack.com/triggers/"}, body: csURL | csBase64, min: 20},
	// Discord developer docs, "Webhook resource": https://discord.com/api/webhooks/{id}/{token}.
	{id: "discord-webhook", doc: "the paths of Discord webhooks", prefixes: []string{"discord.com/api/webhooks/", "discordapp.com/api/webhooks/"}, body: csURL | csBase64, min: 40},
	// Stripe docs, "API keys": sk_ secret, rk_ restricted; whsec_ from "Receive Stripe events in your webhook endpoint".
	{id: "stripe-key", doc: "Stripe secret and restricted keys, webhook secrets", prefixes: []string{"sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"}, body: csAlnum, min: 16},
	// Google Cloud docs, "Manage API keys": 39 characters that begin with AIza.
	{id: "google-api-key", doc: "Google API keys (AIza…)", prefixes: []string{"AIza"}, body: csURL, min: 35},
	// Google Identity docs, "Using OAuth 2.0 to access Google APIs", sample responses: ya29. access, 1//0 refresh tokens; GOCSPX- client secrets.
	{id: "google-oauth", doc: "Google OAuth access tokens, refresh tokens and client secrets", prefixes: []string{"ya29."}, body: csURL | csDot, min: 20},
	{id: "google-oauth", prefixes: []string{"1//0"}, body: csURL, min: 35, word: true},
	{id: "google-oauth", prefixes: []string{"GOCSPX-"}, body: csURL, min: 24},
	// npm Docs, "About access tokens"; GitHub blog 2021-09-23, "Announcing npm's new access token format".
	{id: "npm-token", doc: "npm access tokens", prefixes: []string{"npm_"}, body: csAlnum, min: 36},
	// PyPI help, "How can I use API tokens": pypi- before a macaroon in base64url.
	{id: "pypi-token", doc: "PyPI API tokens", prefixes: []string{"pypi-"}, body: csURL, min: 50},
	// RubyGems guides, "API key scopes".
	{id: "rubygems-key", doc: "RubyGems API keys", prefixes: []string{"rubygems_"}, body: csHexLower, min: 48},
	// Docker docs, "Personal access tokens" and "Organization access tokens".
	{id: "docker-token", doc: "Docker Hub access tokens", prefixes: []string{"dckr_pat_", "dckr_oat_"}, body: csURL, min: 20},
	// Twilio SendGrid docs, "API keys": SG.<22>.<43>.
	{id: "sendgrid-key", doc: "SendGrid API keys", prefixes: []string{"SG."}, body: csURL | csDot, min: 60, word: true},
	// Anthropic docs, "API overview": keys begin with sk-ant-.
	{id: "anthropic-key", doc: "Anthropic API keys", prefixes: []string{"sk-ant-"}, body: csURL, min: 20},
	// OpenAI docs, "API keys": sk-, with kinds such as sk-proj- and sk-svcacct-. Others copied the form (OpenRouter sk-or-, DeepSeek).
	{id: "openai-key", doc: "OpenAI API keys and others of the form sk-…", prefixes: []string{"sk-"}, body: csURL, min: 20, word: true, digit: true},
	// DigitalOcean docs, "How to create a personal access token": dop_v1_, doo_v1_ OAuth, dor_v1_ refresh, then 64 hexadecimal digits.
	{id: "digitalocean-token", doc: "DigitalOcean tokens", prefixes: []string{"dop_v1_", "doo_v1_", "dor_v1_"}, body: csHexLower, min: 64},
	// Hugging Face docs, "User access tokens".
	{id: "huggingface-token", doc: "Hugging Face access tokens", prefixes: []string{"hf_", "api_org_"}, body: csAlnum, min: 30, word: true},
	// Vault docs, "Tokens", "Token prefixes": hvs. service, hvb. batch, hvr. recovery.
	{id: "vault-token", doc: "HashiCorp Vault tokens", prefixes: []string{"hvs.", "hvb.", "hvr."}, body: csURL, min: 24},
	// Shopify docs, "About API access tokens" and changelog "Length of the shared secret".
	{id: "shopify-token", doc: "Shopify access tokens and secrets", prefixes: []string{"shpat_", "shpca_", "shppa_", "shpss_"}, body: csHex, min: 32},
	// Square docs, "Access tokens and other Square credentials": EAAA access tokens, sq0atp- and sq0csp- legacy and OAuth.
	{id: "square-token", doc: "Square access tokens and secrets", prefixes: []string{"sq0atp-", "sq0csp-"}, body: csURL, min: 22},
	{id: "square-token", prefixes: []string{"EAAA"}, body: csURL, min: 60, word: true},
	// Linear docs, "API and webhooks".
	{id: "linear-key", doc: "Linear API keys", prefixes: []string{"lin_api_", "lin_oauth_"}, body: csAlnum, min: 32},
	// Grafana docs, "Service accounts" (glsa_, with a checksum) and "Access policies" of Grafana Cloud (glc_, base64).
	{id: "grafana-token", doc: "Grafana service account and Cloud access policy tokens", prefixes: []string{"glsa_"}, body: csWord, min: 32},
	{id: "grafana-token", prefixes: []string{"glc_"}, body: csBase64, min: 32},
	// Databricks docs, "Authenticate with personal access tokens": dapi, 32 hexadecimal digits, sometimes -2.
	{id: "databricks-token", doc: "Databricks personal access tokens", prefixes: []string{"dapi"}, body: csHexLower, min: 32},
	// Doppler docs, "Auth token formats".
	{id: "doppler-token", doc: "Doppler tokens", prefixes: []string{"dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.scim.", "dp.audit.", "dp.said."}, body: csURL | csDot, min: 40, word: true},
	// Mailgun docs, "Authentication": key- and 32 hexadecimal digits (older keys).
	{id: "mailgun-key", doc: "Mailgun API keys", prefixes: []string{"key-"}, body: csHexLower, min: 32, word: true},
	// Pulumi docs, "Access tokens".
	{id: "pulumi-token", doc: "Pulumi access tokens", prefixes: []string{"pul-"}, body: csHexLower, min: 40},
	// PlanetScale docs, "Service tokens" and "Connection strings".
	{id: "planetscale-token", doc: "PlanetScale tokens and passwords", prefixes: []string{"pscale_tkn_", "pscale_oauth_", "pscale_pw_"}, body: csURL | csDot, min: 32},
	// Notion docs, "Authorization": ntn_ since 2024-09.
	{id: "notion-token", doc: "Notion integration tokens", prefixes: []string{"ntn_"}, body: csAlnum, min: 40, word: true},
	// Figma docs, "Access tokens".
	{id: "figma-token", doc: "Figma personal access tokens", prefixes: []string{"figd_"}, body: csURL, min: 32},
	// Postman docs, "Postman API authentication".
	{id: "postman-key", doc: "Postman API keys", prefixes: []string{"PMAK-"}, body: csURL, min: 50},
	// New Relic docs, "New Relic API keys": NRAK- user keys.
	{id: "newrelic-key", doc: "New Relic user keys", prefixes: []string{"NRAK-"}, body: csAlnum, min: 20},
	// Sentry docs, "Auth tokens": sntrys_ organization, sntryu_ user.
	{id: "sentry-token", doc: "Sentry auth tokens", prefixes: []string{"sntrys_", "sntryu_"}, body: csWord | csBase64, min: 32},
	// Observed: Atlassian API tokens begin with ATATT3, Bitbucket access tokens with ATCTT3.
	{id: "atlassian-token", doc: "Atlassian and Bitbucket API tokens", prefixes: []string{"ATATT3", "ATCTT3"}, body: csURL | csBase64, min: 60},
	// Fly.io docs, "Access tokens": macaroons.
	{id: "flyio-token", doc: "Fly.io tokens", prefixes: []string{"fm1r_", "fm1a_", "fm2_", "fo1_"}, body: csWord | csBase64, min: 40, word: true},
	// Netlify docs, "Get started with the Netlify API".
	{id: "netlify-token", doc: "Netlify personal access tokens", prefixes: []string{"nfp_"}, body: csAlnum, min: 36, word: true},
	// Supabase docs, "Understanding API keys" (sb_secret_) and "Management API" (sbp_).
	{id: "supabase-key", doc: "Supabase secret keys and access tokens", prefixes: []string{"sb_secret_"}, body: csURL, min: 20},
	{id: "supabase-key", prefixes: []string{"sbp_"}, body: csHexLower, min: 40},
	// Replicate docs, "API tokens": r8_; Perplexity docs, "API keys": pplx-. Observed: Groq gsk_, xAI xai-.
	{id: "replicate-token", doc: "Replicate API tokens", prefixes: []string{"r8_"}, body: csAlnum, min: 37, word: true},
	{id: "groq-key", doc: "Groq API keys", prefixes: []string{"gsk_"}, body: csAlnum, min: 48, word: true},
	{id: "xai-key", doc: "xAI API keys", prefixes: []string{"xai-"}, body: csAlnum, min: 70, word: true},
	{id: "perplexity-key", doc: "Perplexity API keys", prefixes: []string{"pplx-"}, body: csAlnum, min: 40, word: true},
	// Tailscale docs, "Key prefixes".
	{id: "tailscale-key", doc: "Tailscale keys", prefixes: []string{"tskey-"}, body: csURL, min: 16},
	// age, "The age file encryption format": Bech32 in capitals.
	{id: "age-key", doc: "age secret keys", prefixes: []string{"AGE-SECRET-KEY-1"}, body: csUpperNum, min: 58},
	// 1Password docs, "Service accounts": ops_ and base64 of JSON.
	{id: "onepassword-token", doc: "1Password service account tokens", prefixes: []string{"ops_eyJ"}, body: csURL | csBase64, min: 60},
	// Brevo docs, "Authentication"; Buildkite docs, "Managing API access tokens"; CircleCI docs, "Managing API tokens".
	{id: "brevo-key", doc: "Brevo API and SMTP keys", prefixes: []string{"xkeysib-", "xsmtpsib-"}, body: csURL, min: 64},
	{id: "buildkite-token", doc: "Buildkite API access tokens", prefixes: []string{"bkua_"}, body: csHexLower, min: 40},
	{id: "circleci-token", doc: "CircleCI tokens", prefixes: []string{"CCIPAT_", "CCIPRJ_"}, body: csWord, min: 40},
	// Heroku Dev Center, "OAuth": HRKU- since 2024.
	{id: "heroku-key", doc: "Heroku API keys", prefixes: []string{"HRKU-"}, body: csURL, min: 36},
	// Dynatrace docs, "Access tokens": dt0c01 and the like, public part of 24, secret part of 64.
	{id: "dynatrace-token", doc: "Dynatrace access tokens", prefixes: []string{"dt0c01.", "dt0s01.", "dt0s02.", "dt0s16."}, body: csUpperNum | csDot, min: 80},
	// OpenShift docs, "Managing user-owned OAuth access tokens": sha256~ and base64url of a hash's input.
	{id: "openshift-token", doc: "OpenShift access tokens", prefixes: []string{"sha256~"}, body: csURL, min: 40},
	// Airtable docs, "Personal access tokens": pat, 14, dot, 64 hexadecimal digits.
	{id: "airtable-token", doc: "Airtable personal access tokens", prefixes: []string{"pat"}, body: csAlnum | csDot, min: 79, word: true, dotAt: 14},
	// Alibaba Cloud docs, "Create an AccessKey pair": samples begin with LTAI.
	{id: "alibaba-key-id", doc: "Alibaba Cloud access key IDs", prefixes: []string{"LTAI"}, body: csAlnum, min: 12, word: true},
	// Microsoft Learn, "Azure Storage account access keys": 64 bytes in base64. Also Service Bus, Event Hubs, IoT Hub (SharedAccessKey) and Cosmos DB.
	{id: "azure-key", doc: "keys in Azure connection strings (AccountKey=, SharedAccessKey=)", prefixes: []string{"AccountKey=", "SharedAccessKey="}, body: csBase64, min: 16},
	// Microsoft Learn, "Create a service SAS": sig is the HMAC, in base64, escaped in URLs.
	{id: "azure-sas", doc: "signatures of Azure SAS URLs (sig=)", prefixes: []string{"?sig=", "&sig=", ";sig="}, body: csBase64 | csURL | csPercent, min: 20},
}

// keep is how many bytes at the start of a match stay: the prefixes that end in
// a separator are names, not parts of the secret.
func (f *tokenFormat) keep(prefix string) int {
	switch prefix[len(prefix)-1] {
	case '=', '/':
		return len(prefix)
	}
	return 0
}

// bodySets numbers the alphabets of tokenFormats, for scan.bodyEnds.
var bodySets = func() map[charset]int {
	m := map[charset]int{}
	for _, f := range tokenFormats {
		if _, ok := m[f.body]; !ok {
			m[f.body] = len(m)
		}
	}
	return m
}()

// maxBodySets is how many there may be; a test counts them.
const maxBodySets = 16

// token verifies that a token begins at s[i], where its prefix stands in
// whatever case, and returns the bounds of the secret.
func (sc *scan) token(k *keyword, i int) (start, end int, ok bool) {
	s, f, prefix := sc.s, k.format, k.text
	if s[i:i+len(prefix)] != prefix {
		return 0, 0, false // the automaton ignores case
	}
	if f.word && i > 0 && in(s[i-1], csURL) {
		return 0, 0, false
	}
	body := i + len(prefix)
	if f.exact {
		end = run(s, body, f.body, f.min)
		if end-body < f.min || end < len(s) && in(s[end], csAlnum) {
			return 0, 0, false
		}
	} else {
		if len(s)-body < f.min || run(s, body, f.body, f.min)-body < f.min {
			return 0, 0, false
		}
		if f.dotAt > 0 && s[body+f.dotAt] != '.' {
			return 0, 0, false
		}
		if f.digit && !hasDigit(s[body:body+f.min]) {
			return 0, 0, false
		}
		// The run of one token may hold the prefixes of many.
		if end = sc.bodyEnds[k.set]; end < body+f.min {
			end = run(s, body, f.body, 0)
			sc.bodyEnds[k.set] = end
		}
		for end > body+f.min && s[end-1] == '.' { // the end of a sentence
			end--
		}
	}
	return i + f.keep(prefix), end, true
}

func hasDigit(s string) bool {
	for i := 0; i < len(s); i++ {
		if isDigit(s[i]) {
			return true
		}
	}
	return false
}
