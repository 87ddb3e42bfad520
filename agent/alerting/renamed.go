package alerting

// formerNames maps built-in rules to the names that they had in earlier versions.
// Silences, disabled rules and history queries for the former name keep working.
var formerNames = map[string]string{
	"CollectorFailing": "FamilyFailing",
	"OOMKill":          "KilledForWantOfMemory",
}
