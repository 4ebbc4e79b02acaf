;; What the router asks of a model. An instance of `encoderfile:encoder/encoder` is one of this, too: it
;; only has more.
(type $request-error' (record
  (field "message" string) (field "field" (option string)) (field "input" (option u32))))
(export "request-error" (type $request-error (eq $request-error')))
(type $error' (variant (case "file" string) (case "request" $request-error) (case "bug" string)))
(export "error" (type $error (eq $error')))
(type $input' (variant
  (case "text" string) (case "pair" (tuple string string)) (case "ids" (list u32))))
(export "input" (type $input (eq $input')))
(type $role' (enum "query" "document"))
(export "role" (type $role (eq $role')))
(type $overflow' (enum "truncate" "error" "mean"))
(export "overflow" (type $overflow (eq $overflow')))
(type $side' (enum "left" "right"))
(export "side" (type $side (eq $side')))
(type $reading' (record
  (field "prompt" (option string)) (field "prompt-name" (option string))
  (field "role" (option $role)) (field "overflow" (option $overflow))
  (field "truncation-side" (option $side)) (field "max-tokens" (option u32))))
(export "reading" (type $reading (eq $reading')))
(type $usage' (record
  (field "tokens-total" u32) (field "tokens-used" u32) (field "windows" (option u32))))
(export "usage" (type $usage (eq $usage')))
(type $embedding' (record (field "values" (list f32)) (field "usage" (option $usage))))
(export "embedding" (type $embedding (eq $embedding')))
(type $embed-options' (record
  (field "normalize" (option bool)) (field "dimensions" (option u32))))
(export "embed-options" (type $embed-options (eq $embed-options')))
(export "model" (type $model (sub resource)))
(export "[static]model.open" (func
  (param "path" (option string)) (result (result (own $model) (error $error)))))
(export "[method]model.embed" (func
  (param "self" (borrow $model)) (param "inputs" (list $input))
  (param "reading" (option $reading)) (param "options" (option $embed-options))
  (result (result (list $embedding) (error $error)))))
