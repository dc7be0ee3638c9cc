// Command web is a gin service whose validator, which the framework calls by reflection, fails on a
// nil pointer.
package main

import (
	"io"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/gin-gonic/gin/binding"
	"github.com/go-playground/validator/v10"

	"github.com/otelcoredumpy/otelcoredumpy"
	"github.com/otelcoredumpy/otelcoredumpy/test/strangers/harness"
)

type item struct {
	SKU string `json:"sku" binding:"required,instock"`
	Qty int    `json:"qty" binding:"gte=1"`
}

type order struct {
	ID    string            `json:"id" binding:"required"`
	Items []item            `json:"items" binding:"required,dive"`
	Meta  map[string]string `json:"meta"`
}

type shelf struct{ left int }

// stock is one of the package variables in the dump.
var stock = map[string]*shelf{"tea-01": {5}, "cup-02": {7}, "jug-03": nil}

// inStock is called deep inside of the validator.
func inStock(fl validator.FieldLevel) bool {
	sku := fl.Field().String()
	s := stock[sku]
	return s.left > 0 // FAIL
}

func newRouter() (*gin.Engine, error) {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.RecoveryWithWriter(io.Discard), func(c *gin.Context) {
		defer otelcoredumpy.Recover(c.Request.Context())
		c.Next()
	})
	if v, ok := binding.Validator.Engine().(*validator.Validate); ok {
		if err := v.RegisterValidation("instock", inStock); err != nil {
			return nil, err
		}
	}
	api := r.Group("/api/:tenant")
	api.POST("/orders", func(c *gin.Context) {
		tenant := c.Param("tenant")
		var o order
		if err := c.ShouldBindJSON(&o); err != nil {
			c.JSON(http.StatusBadRequest, gin.H{"error": err.Error(), "tenant": tenant})
			return
		}
		c.JSON(http.StatusOK, gin.H{"id": o.ID, "items": len(o.Items), "tenant": tenant})
	})
	api.GET("/warm", func(c *gin.Context) {
		var o *order
		c.String(http.StatusOK, o.ID)
	})
	return r, nil
}

func main() {
	r, err := newRouter()
	harness.Exit(err)
	harness.Exit(harness.Serve("web", r,
		[]harness.Request{
			{Method: "POST", Path: "/api/acme/orders", Body: `{"id": "o-1", "items": [{"sku": "tea-01", "qty": 1}]}`},
			{Method: "POST", Path: "/api/umbrella/orders", Body: `{"id": "o-2", "items": [{"sku": "cup-02", "qty": 2}, {"sku": "tea-01", "qty": 1}]}`},
		},
		harness.Request{Method: "GET", Path: "/api/acme/warm"},
		harness.Request{Method: "POST", Path: "/api/acme/orders", Body: `{"id": "o-4711", "items": [{"sku": "tea-01", "qty": 3}, {"sku": "jug-03", "qty": 4}], "meta": {"channel": "phone"}}`},
		otelcoredumpy.WithVariables("main.*", "github.com/gin-gonic/gin.*"),
	))
}
