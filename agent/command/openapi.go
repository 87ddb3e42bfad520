package command

import "sysotel/api"

func openAPICommand() command {
	return command{
		name: "openapi", summary: "print the OpenAPI document of the REST API", run: runOpenAPI,
		examples: []string{"sysotel openapi > openapi.yaml"},
	}
}

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
