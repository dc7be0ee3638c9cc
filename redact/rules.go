package redact

import "regexp"

// Ranks number the rules. Of findings that overlap, the one of the lowest rank
// names the whole. Provider tokens come first, as they say most.
const (
	rankTelegram = iota + 1
	rankTerraform
	rankEntra
	rankTwilio
	rankJWT
	rankPEM
	rankTokens        // the first of tokenFormats; they share a rank if they share an ID
	rankEnviron       = rankTokens + 100
	rankAuthorization = rankEnviron + 1
	rankURLPassword   = rankEnviron + 2
	rankKeyValue      = rankEnviron + 3
	rankNames         = rankEnviron + 4 // + nameClass
	rankPattern       = rankNames + int(numClasses)
	rankGenericToken  = rankPattern + 1
	numRanks          = rankGenericToken + 1
)

// IDs of what may stand in a marker without being a rule that can be switched
// off.
const (
	// RulePanic stands for a text that a user's [Redactor] panicked at.
	RulePanic = "redactor-panic"
	// RuleInternal stands for a text at which the engine itself failed. It is a
	// defect of this package: please report it.
	RuleInternal = "redact-internal"
)

// RuleInfo describes a built-in rule.
type RuleInfo struct {
	ID      string // stands in markers and in Config.Disable
	Doc     string // what it finds, in a few words
	Default bool   // on in DefaultConfig
}

// ruleTable has the rules by rank; tokenRanks the ranks of tokenFormats.
var ruleTable, tokenRanks = func() (t [numRanks]RuleInfo, ranks []int) {
	t[rankTelegram] = RuleInfo{"telegram-token", "Telegram bot tokens", true}
	t[rankTerraform] = RuleInfo{"terraform-token", "HCP Terraform API tokens", true}
	t[rankEntra] = RuleInfo{"azure-client-secret", "Microsoft Entra client secrets", true}
	t[rankTwilio] = RuleInfo{"twilio-key", "Twilio API keys (SK and 32 hexadecimal digits)", true}
	t[rankJWT] = RuleInfo{"jwt", "JSON Web Tokens", true}
	t[rankPEM] = RuleInfo{"private-key", "PEM blocks of private keys", true}
	byID := map[string]int{}
	next := rankTokens
	for _, f := range tokenFormats {
		rank, ok := byID[f.id]
		if !ok {
			rank = next
			next++
			byID[f.id] = rank
			t[rank] = RuleInfo{f.id, f.doc, true}
		}
		ranks = append(ranks, rank)
	}
	t[rankEnviron] = RuleInfo{"environ", "values of the process's environment variables, whole or as a part", true}
	t[rankAuthorization] = RuleInfo{"authorization", "credentials behind Bearer and Basic", true}
	t[rankURLPassword] = RuleInfo{"url-password", "passwords in URLs and in data source names", true}
	t[rankKeyValue] = RuleInfo{"key-value", "values of pairs such as password=… and \"apiKey\": … in a text, by the name rules", true}
	for c := classPassword; c < numClasses; c++ {
		t[rankNames+int(c)] = classRules[c]
	}
	t[rankGenericToken] = RuleInfo{"generic-token", "runs of 32 or more letters and digits", true}
	return t, ranks
}()

// Rules lists the built-in rules in the order in which they name a finding.
// The user's patterns have the IDs pattern-1, pattern-2, … in the order of
// Config.Patterns and are not among them.
func Rules() []RuleInfo {
	var rules []RuleInfo
	for _, r := range ruleTable {
		if r.ID != "" {
			rules = append(rules, r)
		}
	}
	return rules
}

// pattern is one of Config.Patterns.
type pattern struct {
	id string
	re *regexp.Regexp
}
