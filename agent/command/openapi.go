package command

import "sysotel/api"

// runOpenAPI prints the document that /openapi.yaml serves.
func runOpenAPI(c Call) int {
	document, err := api.OpenAPI()
	if err != nil {
		return c.fail(err)
	}
	if _, err := c.Out.Write(document); err != nil {
		return c.fail(err)
	}
	return 0
}
