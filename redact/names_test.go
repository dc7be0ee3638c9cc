package redact

import (
	"strings"
	"sync"
	"testing"
)

func TestSplitWords(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"password", "password"},
		{"dbPassword", "db password"},
		{"DBPassword", "db password"},
		{"AWSSecretAccessKey", "aws secret access key"},
		{"AWS_SECRET_ACCESS_KEY", "aws secret access key"},
		{"x-api-key", "x api key"},
		{"X-API-Key", "x api key"},
		{"accessTokenURL", "access token url"},
		{"userIDs", "user ids"},
		{"APIs", "apis"},
		{"HTTPServer", "http server"},
		{"oauth2Token", "oauth2 token"},
		{"sha256Sum", "sha256 sum"},
		{"Config.Database.Password", "config database password"},
		{"a", "a"},
		{"A", "a"},
		{"IDToken", "id token"},
		{"__init__", "init"},
		{"p@ss w/rd", "p ss w rd"},
		{"größeToken", "größe token"},
		{"", ""},
		{"...", ""},
		{strings.Repeat("x", 97), ""},
		{strings.Repeat("a.", 25), ""},
	} {
		var w nameWords
		var got []string
		if w.split(tt.name) {
			for i := range w.n {
				got = append(got, string(w.word(i)))
			}
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%q: got %q, want %q", tt.name, s, tt.want)
		}
	}
}

var secretNames = map[string]string{
	"name-password": `password Password PASSWORD dbPassword DB_PASSWORD db-password user.password passwordHash oldPasswd pwd userPwd dbpwd
		passphrase PGPASSWORD mypassword password2 pass DB_PASS dbPass passcode ssh_passphrase passwords PasswordConfirmation`,
	"name-secret": `secret clientSecret client_secret SECRET secrets appSecret webhookSecret secretValue jwtSecret secret_id nosecret
		Secret2 secretBytes`,
	"name-token": `token accessToken access_token refreshToken id_token idToken authToken authtoken csrfToken X-CSRF-Token xsrf jwt rawJWT jwt_string
		bearer bearerToken token1 tokens apiTokens verify_token tokenHash code_verifier X-Amz-Signature githubPAT GH_PAT prevToken`,
	"name-key": `apiKey api_key API_KEY ApiKeys APIkey apikey x-api-key privateKey private_key accessKey accessKeyID AWS_ACCESS_KEY_ID awsAccessKeyId
		secretKey secret_key AWSSecretAccessKey encryptionKey signing_key masterKey accountKey sharedKey myapikey licenseKey sessionKey
		Ocp-Apim-Subscription-Key`,
	"name-credential": `credential credentials awsCredentials creds dbCreds client_assertion SAMLResponse googleCredentialsJSON`,
	"name-auth":       `authorization Authorization Proxy-Authorization http.request.header.authorization auth basicAuth x-auth authorizationHeader`,
	"name-cookie":     `cookie Cookie Set-Cookie cookies sessionCookie rawCookie`,
	"name-session":    `sessionID session_id SessionId sessionid JSESSIONID PHPSESSID sid connect.sid ASP.NET_SessionId sess_id`,
	"name-dsn":        `dsn DSN dbDSN databaseDsn connectionString ConnectionString connStr conn_str SENTRY_DSN`,
	"name-otp":        `otp OTP totp otpCode mfaCode recovery_codes verificationCode pin userPin PIN pinCode seedPhrase mnemonic one_time_code authorization_code`,
	"name-card":       `cvv CVV2 cvc cardNumber card_number creditCard creditCardNumber cardSecurityCode`,
	"name-ssn":        `ssn SSN socialSecurityNumber social_security customerSSN`,
}

var ordinaryNames = `
	name user userName id orderID key keys value data path url count primaryKey publicKey public_key foreignKey keyboard monkey hotkey keyID
	token_count tokenCount max_tokens maxTokens total_tokens prompt_tokens completionTokens tokensUsed num_tokens tokenizer tokenized tokenType
	token_type tokenExpiry token_expires_at tokenTTL accessTokenURL token_url tokenEndpoint tokenLen tokenLength tokenSource nextPageToken
	next_token continuation_token page_token cursorToken eosToken
	password_policy passwordPolicy passwordLength password_min_length passwordless has_password requirePassword errPassword password_expires_at
	passwordFile passwordField password_updated_at passwordAge
	secret_name secretName secretPath secret_version secretary secretsManager
	cookie_domain cookieName cookiePath cookie_max_age cookies_enabled cookieConsent
	session sessions sessionCount sessionTimeout session_id_length sessionName
	author authority authenticated authMethod auth_type authProvider authorizationURL authorization_endpoint authURL
	credentialType credential_id pinned opinion spinning pinCount bypass compass passenger passed firstPass renderPass passCount
	api apiURL api_version access accessLog accessLevel accessTime privateNetwork masterNode sharedVolume
	card cardType cardHolder dashboard flashcard signature nonce salt hash sum
	http.request.method service.name k8s.pod.name net.peer.port db.statement`

func TestSecretName(t *testing.T) {
	e := newTestEngine(t, nil)
	for rule, names := range secretNames {
		for name := range strings.FieldsSeq(names) {
			if got, ok := e.SecretName(name); got != rule || !ok {
				t.Errorf("%s: got %q, %v, want %q", name, got, ok, rule)
			}
			out, found := apply(t, e, Text{Value: "v", Name: name})
			if rulesOf(found) != rule || out != Marker(rule, 1) {
				t.Errorf("%s: its value came out as %q, found %v", name, out, found)
			}
		}
		off := newTestEngine(t, func(c *Config) { c.Disable = []string{rule} })
		if name := strings.Fields(names)[0]; rule != "name-custom" {
			if _, ok := off.SecretName(name); ok {
				t.Errorf("%s is off, but %s is a secret name", rule, name)
			}
		}
	}
	for name := range strings.FieldsSeq(ordinaryNames) {
		if got, ok := e.SecretName(name); ok {
			t.Errorf("%s: got %q, want none", name, got)
		}
		if out, found := apply(t, e, Text{Value: "v", Name: name}); found != nil {
			t.Errorf("%s: its value came out as %q", name, out)
		}
	}
	for c := classPassword; c < classCustom; c++ {
		if secretNames[classRules[c].ID] == "" {
			t.Errorf("rule %s has no sample", classRules[c].ID)
		}
	}
}

func TestNamesOfConfig(t *testing.T) {
	e := newTestEngine(t, func(c *Config) {
		c.Names = []string{"customerRef", "bic"}
		c.AllowNames = []string{"test_token", "monkeyPassword"}
	})
	for name, want := range map[string]string{
		"customerRef": "name-custom", "customer_ref": "name-custom", "Customer-Ref": "name-custom", "billing.customerRef": "name-custom",
		"customerRefs": "", "customer": "", "BIC": "name-custom", "cubic": "",
		"testToken": "", "myTestToken": "", "token": "name-token", "MONKEY_PASSWORD": "", "password": "name-password",
	} {
		if got, _ := e.SecretName(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	out, _ := apply(t, e, Text{Value: "customer_ref=abc, test_token=abc"})
	if want := "customer_ref=" + Marker("key-value", 3) + ", test_token=abc"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

func TestWorkingDirectory(t *testing.T) {
	e := newTestEngine(t, nil)
	for _, tt := range []struct {
		name, value string
		hidden      bool
	}{
		{"pwd", "/srv/shop", false},
		{"oldPwd", `C:\srv`, false},
		{"pwd", "hunter2", true},
		{"password", "/srv/shop", true},
	} {
		if _, found := apply(t, e, Text{Value: tt.value, Name: tt.name}); (found != nil) != tt.hidden {
			t.Errorf("%s = %q: found %v, want hidden %v", tt.name, tt.value, found, tt.hidden)
		}
	}
}

// Names that share a slot of the cache replace each other and stay right, with
// any number of readers.
func TestNameCache(t *testing.T) {
	e := newTestEngine(t, nil)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 5000 {
				name := "v" + word(byte(i+g), 3+i%7, digits)
				if i%2 == 0 {
					name += "_password"
				} else {
					name += "_x"
				}
				if _, ok := e.SecretName(name); ok != (i%2 == 0) {
					t.Errorf("%s: secret %v", name, ok)
				}
			}
		})
	}
	wg.Wait()
}

// The cache may not keep the bytes of a name that lie in memory which the caller
// uses again.
func TestNameCacheKeepsNoName(t *testing.T) {
	e := newTestEngine(t, nil)
	b := []byte("password")
	e.SecretName(unsafeString(b))
	copy(b, "customer")
	if _, ok := e.SecretName("password"); !ok {
		t.Error("password is no secret name")
	}
	if _, ok := e.SecretName("customer"); ok {
		t.Error("customer is a secret name")
	}
}
